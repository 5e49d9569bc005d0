"""How the admin writes times: to the second, in 24 hours, largest first, so that they compare with a log line's.

Django reads this through FORMAT_MODULE_PATH. The platform is in UTC.
"""

DATETIME_FORMAT = "Y-m-d H:i:s"
DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i:s"
