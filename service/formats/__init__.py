"""Image formats, and colour profiles: what both halves must read alike.

Training imports it from here, so that a photo that is trained on and posted gives one tensor. Nothing here
knows either half. What is wrong with an image is an `Unreadable`, whose text is for people.

names      which format some bytes are of, by their first ones
bitmaps    GIF and BMP: their headers, and whether all pixels are there
tiff       TIFF's header, and which of its many kinds are read
jpeg       JPEG, scan by scan: decoded where every row is there
scans      where a JPEG's scans begin and end
chunks     PNG: wrong checksums, missing rows, and what is transparent by its value
pnm        PBM, PGM and PPM, whole
boxes      HEIF and AVIF: the size, rotation and colours of the image that is shown
reading    the only one that hands data to a library: opens, loads, checks
colours    a photo's own colours to sRGB
"""
