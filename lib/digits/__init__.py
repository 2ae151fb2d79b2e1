"""The embedded demo data set: handwritten digits on photographs, in the VOC layout."""
