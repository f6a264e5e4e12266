"""The table of the predictor's limits: what a request may hold, and how much is worked on at once.

It stands here because `serving`, above, keeps most of them and this room the rest; the decoder's come from below. A
name begins or ends with its unit. docs/design.md shows the same table, and a test compares the two.
"""

from distml.model import image_decoding

# One image. A few bytes of file can announce any number of pixels.
MAX_PIXELS_OF_IMAGE = 2**24
# The resize filter has 28 weights for each pixel along a side.
MAX_PIXELS_OF_SIDE = 2**14
MAX_SCANS_OF_JPEG = image_decoding.MAX_SCANS
MAX_BYTES_OF_PNG_TEXT = image_decoding.MAX_TEXT_BYTES

# One request. Two of the largest images: what a thread decodes in a second or two.
MAX_PIXELS_OF_REQUEST = 2**25
# More would keep the others waiting for longer than a few batches.
MAX_IMAGES_OF_REQUEST = 256
# The largest request, 256 images of [28, 28, 1] as lists, has about 410,000. A body of nothing else would take 30 times
# its length in memory, and orjson lets nobody else run until it has read all.
MAX_JSON_VALUES = 500_000
# The most pixels as lists take 1.2 MB; the rest is room for image files, in base64.
MAX_BYTES_OF_BODY = 2**23
# Those before the body, its trailers, and the marks between its chunks; uvicorn bounds none of them.
MAX_BYTES_OF_HEADERS = 2**16
# A client that sends slowly, or nothing, must not keep a connection for ever.
SECONDS_FOR_HEADERS = 20
SECONDS_FOR_BODY = 20

# All requests at once, over HTTP and gRPC; above these limits a request gets 503 with Retry-After, or UNAVAILABLE.
# However small they are: what is let in is answered soon.
MAX_REQUESTS = 256
# Of the bodies that have come, so that memory is bounded whatever is sent.
MAX_BYTES_OF_REQUESTS = 2**26
# Read in the thread for large ones, or waiting for it: each takes a second or two at worst.
MAX_LARGE_REQUESTS = 8
# In front of the engine: 16 batches, or four of the largest requests.
MAX_IMAGES_WAITING = 1024
# Run together by the engine, unless one request has more: larger batches are not faster.
MAX_IMAGES_OF_BATCH = 64

# Read on the event loop itself; a larger request is read in a thread, so that no other waits behind it.
MAX_BYTES_ON_EVENT_LOOP = 2**16
MAX_PIXELS_ON_EVENT_LOOP = 2**14

# For the requests that are under way when draining ends: REST has so long, and then gRPC. Kubernetes grants 30 seconds
# to draining and both.
SECONDS_TO_FINISH = 10
