"""Import from and export to other tools' formats."""

from mdtool.interop.importer import FeedImport, ImportReport, Stop, import_file, import_files

__all__ = ["FeedImport", "ImportReport", "Stop", "import_file", "import_files"]
