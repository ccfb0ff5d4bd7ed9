# SPDX-License-Identifier: MIT
dist_doc_DATA += \
	%D%/architecture.md \
	%D%/testing.md
