"""Where raw documents come from. One file per kind of source; `read(source)` yields tables of DOCUMENT_SCHEMA."""
