# SPDX-License-Identifier: MIT
dist_doc_DATA += \
	%D%/architecture.md \
	%D%/from-gnet.md \
	%D%/performance.md \
	%D%/platform.md \
	%D%/testing.md \
	%D%/threading.md

# notrans: a function keeps its name, also where --program-prefix gives programs another one.
man3_pages = \
	%D%/man/gn_addr.3 \
	%D%/man/gn_allocator.3 \
	%D%/man/gn_conn_close.3 \
	%D%/man/gn_conn_flow.3 \
	%D%/man/gn_conn_info.3 \
	%D%/man/gn_conn_opt.3 \
	%D%/man/gn_conn_pipe.3 \
	%D%/man/gn_conn_read.3 \
	%D%/man/gn_conn_send_descriptor.3 \
	%D%/man/gn_conn_write.3 \
	%D%/man/gn_datagram.3 \
	%D%/man/gn_dial.3 \
	%D%/man/gn_engine.3 \
	%D%/man/gn_error.3 \
	%D%/man/gn_frame.3 \
	%D%/man/gn_handler.3 \
	%D%/man/gn_listen.3 \
	%D%/man/gn_log.3 \
	%D%/man/gn_loop.3 \
	%D%/man/gn_migrate.3 \
	%D%/man/gn_multipool.3 \
	%D%/man/gn_offload.3 \
	%D%/man/gn_on_signal.3 \
	%D%/man/gn_options.3 \
	%D%/man/gn_poller.3 \
	%D%/man/gn_pool.3 \
	%D%/man/gn_post.3 \
	%D%/man/gn_stats.3 \
	%D%/man/gn_timer.3 \
	%D%/man/gn_version.3
# Of libgannet_sim.
man3_sim_pages = \
	%D%/man/gn_sim.3 \
	%D%/man/gn_sim_peer.3
if ENABLE_SIM
man3_pages += $(man3_sim_pages)
else
EXTRA_DIST += $(man3_sim_pages)
endif
notrans_dist_man_MANS = $(man3_pages) %D%/man/gannet.7

# What a page names beside its own name gets a page that leads there, so that man finds every function.
# The names are read from the pages; files that say no more than that need not be kept.
man_links = \
	for page in $(man3_pages); do \
	  base=`expr "/$$page" : '.*/\(.*\)'`; \
	  names=`sed -n '/^\.Sh NAME/,/^\.Nd/s/^\.Nm \([a-z0-9_]*\).*/\1/p' "$(srcdir)/$$page"` || exit 1; \
	  for name in $$names; do \
	    test "$$name.3" = "$$base" || link "$$name.3" "$$base" || exit 1; \
	  done; \
	done

install-data-hook: install-man-links
install-man-links:
	@$(MKDIR_P) "$(DESTDIR)$(man3dir)"
	@dir="$(DESTDIR)$(man3dir)"; \
	link() { echo ".so man3/$$2" >"$$dir/$$1"; }; \
	$(man_links)

uninstall-hook: uninstall-man-links
uninstall-man-links:
	@dir="$(DESTDIR)$(man3dir)"; \
	link() { rm -f "$$dir/$$1"; }; \
	$(man_links)

.PHONY: install-man-links uninstall-man-links
