# SPDX-License-Identifier: MIT
dist_doc_DATA += \
	%D%/architecture.md \
	%D%/from-gnet.md \
	%D%/threading.md \
	%D%/testing.md
