"""What the service costs, measured against what it stands in front of: `make bench`."""

import os

# AWS SAM's command line, which only tools use, brings native code with which the SDK would sign and check here. The
# service layer ships none. Before anything imports the SDK; the processes of a pool inherit it.
os.environ["BOTO_DISABLE_CRT"] = "true"
