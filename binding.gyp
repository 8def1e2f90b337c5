{
  "targets": [
    {
      "target_name": "sfunnel",
      "sources": [
        "native/addon.cc",
        "native/args.cc",
        "native/attach_clsact.cc",
        "native/attach_tcx.cc",
        "native/attachment.cc",
        "native/clsact_qdisc.cc",
        "native/cpus.cc",
        "native/detach_at_exit.cc",
        "native/device.cc",
        "native/inner_array.cc",
        "native/kernel_objects.cc",
        "native/libbpf_log.cc",
        "native/link_watch.cc",
        "native/load.cc",
        "native/maps.cc",
        "native/netlink.cc",
        "native/netns.cc",
        "native/netns_lock.cc",
        "native/object.cc",
        "native/ethtool.cc",
        "native/route_message.cc",
        "native/route_watch.cc",
        "native/routes.cc",
        "native/rtnetlink.cc",
        "native/segmenter.cc",
        "native/socket_watch.cc",
        "native/tcx.cc",
        "native/testrun.cc",
      ],
      "dependencies": [
        "<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except_all",
      ],
      "defines": [
        # Node-API 8 is in every Node that package.json allows: one prebuild serves all.
        "NAPI_VERSION=8",
        # A worker that is being terminated refuses every call; that must not abort the process.
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
        "_GLIBCXX_ASSERTIONS",
      ],
      "cflags": ["-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"],
      "cflags_cc": [
        "-std=c++17",
        "-fvisibility-inlines-hidden",
        # The same directory as above, but as a system one: its warnings are not ours.
        "-isystem <!(node -p \"require('path').dirname(require.resolve('node-addon-api'))\")",
      ],
      "ldflags": [
        # A worker's end would unload us while libbpf still holds our print function.
        "-Wl,-z,nodelete",
        "-Wl,-z,relro,-z,now",
      ],
      "libraries": ["-lbpf"],
    }
  ]
}
