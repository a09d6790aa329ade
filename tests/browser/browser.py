"""Headless Chromium, used as a person uses it, and pictures of what it shows."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from selenium import webdriver
from selenium.common.exceptions import ElementClickInterceptedException, ElementNotInteractableException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

PATIENCE_SECONDS = 60.0
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
Found = TypeVar("Found")
MOVING = (StaleElementReferenceException, ElementNotInteractableException, ElementClickInterceptedException)


class Browser:
    def __init__(self, pictures: Path):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1400"):
            options.add_argument(argument)
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self.driver.set_page_load_timeout(PATIENCE_SECONDS)
        self._pictures = pictures
        pictures.mkdir(parents=True, exist_ok=True)

    def open(self, url: str) -> None:
        self.driver.get("about:blank")  # else another #page of the same address is not loaded
        self.driver.get(url)

    def picture(self, name: str) -> None:
        self.driver.save_screenshot(str(self._pictures / f"{name}.png"))

    def find(self, css: str, text: str = "", seconds: float = PATIENCE_SECONDS) -> WebElement:
        """The first element of this kind that says `text`, as soon as there is one."""

        return self.wait(lambda: self._first(css, text), f"no {css} says '{text}' at {self.driver.current_url}", seconds)

    def press(self, text: str, css: str = "button") -> None:
        def pressed() -> bool | None:
            if element := self._first(css, text):
                self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
                element.click()
                return True
            return None

        self.wait(pressed, f"no {css} that says '{text}' can be pressed at {self.driver.current_url}")

    def tick(self, row: str) -> None:
        """Ticks the box of a row of MLflow's table."""
        box = f"//*[@role='row'][contains(., '{row}')]//input[contains(@class, 'ag-checkbox-input')]"
        self.wait(lambda: [element.click() for element in self.driver.find_elements(By.XPATH, box)] or None, f"no row '{row}' can be ticked")

    def follow(self, css: str, text: str) -> None:
        self.open(self.wait(lambda: (link := self._first(css, text)) and link.get_attribute("href"), f"no {css} says '{text}'"))

    def link(self, text: str) -> str:
        """Where a link of an artifact leads to."""
        return self.find("article a", text).get_attribute("href") or ""

    def _first(self, css: str, text: str) -> WebElement | None:
        return next((element for element in self.driver.find_elements(By.CSS_SELECTOR, css) if text in (element.text or "")), None)

    def fill(self, label: str, value: str) -> None:
        """Writes into the field of Prefect's form that has this label."""
        of_label = (
            "//*[contains(@class, 'schema-form-property__label')][starts-with(normalize-space(), '{}')]"
            "/ancestor::*[contains(concat(' ', @class, ' '), ' schema-form-property ')][1]//*[self::textarea or self::input]"
        )
        field = self.wait(lambda: next(iter(self.driver.find_elements(By.XPATH, of_label.format(label))), None), f"no field {label}")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", field)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(value)

    def wait(self, look: Callable[[], Found | None], complaint: str, seconds: float = PATIENCE_SECONDS) -> Found:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if (found := look()) is not None:
                    return found
            except MOVING:  # the page is drawn anew, or something moves into place
                pass
            if time.monotonic() > deadline:
                self.picture("what-was-there-instead")
                raise AssertionError(complaint)
            time.sleep(0.3)
