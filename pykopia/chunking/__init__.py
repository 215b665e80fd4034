"""Where contents begin and end: the splitters, with native twins."""
