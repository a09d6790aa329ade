#!/bin/sh
# A role and a database of its own for each service; neither reads the other's. Postgres's image runs this once, when its volume is empty.
set -eu
for service in prefect mlflow; do
    case $service in
        prefect) password=${PREFECT_DB_PASSWORD:?} ;;
        mlflow) password=${MLFLOW_DB_PASSWORD:?} ;;
    esac
    password=$password psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set role="$service" --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv password password
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"role" OWNER :"role";
REVOKE CONNECT ON DATABASE :"role" FROM PUBLIC;
SQL
done
