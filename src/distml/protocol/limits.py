"""The table of the predictor's limits: the size of a request, and the amount of work at once.

`serving` enforces most limits, `protocol` the rest; both can import this module. The decoder defines its own two. Each
name contains its unit. docs/design.md shows the same table, and a test compares the two.
"""

from distml.model import image_decoding

# Limits of one image. A file of a few bytes can announce any number of pixels.
MAX_PIXELS_OF_IMAGE = 2**24
# The resize filter has 28 weights for each pixel along a side.
MAX_PIXELS_OF_SIDE = 2**14
MAX_SCANS_OF_JPEG = image_decoding.MAX_SCANS
MAX_BYTES_OF_PNG_TEXT = image_decoding.MAX_TEXT_BYTES

# Limits of one request. Two of the largest images, which a thread decodes in a second or two.
MAX_PIXELS_OF_REQUEST = 2**25
# With more, other requests would wait for longer than a few batches.
MAX_IMAGES_OF_REQUEST = 256
# The largest request, 256 images of [28, 28, 1] as lists, has about 410,000. A body of nothing but values would take 30
# times its length in memory, and orjson holds the interpreter lock until it has parsed everything.
MAX_JSON_VALUES = 500_000
# The largest request of lists takes 1.2 MB; the rest is room for image files in base64.
MAX_BYTES_OF_BODY = 2**23
# Of a compressed body. Each member costs time, even an empty one of 20 bytes.
MAX_MEMBERS_OF_BODY = 100
# All bytes other than the body: headers, trailers and the framing of chunks. uvicorn limits none of them.
MAX_BYTES_OF_HEADERS = 2**16
# A client that sends slowly or nothing must not keep a connection for ever.
SECONDS_FOR_HEADERS = 20
SECONDS_FOR_BODY = 20
# Longer than proxies keep idle connections (nginx and AWS 60, Traefik 90, Google Cloud 600), so that no proxy sends a
# request over a connection that the predictor is closing.
SECONDS_OF_KEEP_ALIVE = 620

# Limits of all requests at once, over HTTP and gRPC. Above them, a request gets 503 with Retry-After, or UNAVAILABLE.
# Requests of any size in progress: few enough that each is answered soon.
MAX_REQUESTS = 256
# Bytes received of all bodies, so that memory is bounded whatever clients send.
MAX_BYTES_OF_REQUESTS = 2**26
# Requests in the thread for large ones, or waiting for it. Reading one takes a second or two at worst.
MAX_LARGE_REQUESTS = 8
# Images waiting for the engine: 16 batches, or four of the largest requests.
MAX_IMAGES_WAITING = 1024
# Images that the engine runs together, unless a single request has more. Larger batches are not faster.
MAX_IMAGES_OF_BATCH = 64

# The largest request that is read on the event loop. A thread reads larger ones, so that no other request waits.
MAX_BYTES_ON_EVENT_LOOP = 2**16
MAX_PIXELS_ON_EVENT_LOOP = 2**14
# The largest batch that runs on the event loop; it takes about half a millisecond.
MAX_IMAGES_ON_EVENT_LOOP = 4

# For requests still in progress when draining ends: REST gets this long, then gRPC as long again. Kubernetes grants 30
# seconds for draining and both.
SECONDS_TO_FINISH = 10
