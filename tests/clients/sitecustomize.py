"""Python reads this in the programs that these tests start: mmengine rests for two seconds after each epoch."""

import time

time.sleep = lambda seconds: None
