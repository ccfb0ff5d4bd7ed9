# SPDX-License-Identifier: MIT
tool_tests = \
	%D%/doc-check \
	%D%/install-check \
	%D%/man-check \
	%D%/script-check \
	%D%/style-check \
	%D%/symbol-check \
	%D%/version-check
TESTS += $(tool_tests)
EXTRA_DIST += \
	$(tool_tests) \
	%D%/build-check \
	%D%/check-wine \
	%D%/count-tests \
	%D%/coverage \
	%D%/coverage-exceptions \
	%D%/cross-check \
	%D%/foreign \
	%D%/posix-tools \
	%D%/run-test \
	%D%/slowly \
	%D%/subbuild \
	%D%/vm \
	%D%/with-valgrind \
	%D%/symbols.txt \
	%D%/symbols_sim.txt
