# The conformance suite as a job: on every client node, against the driver plugin that is there.
# docs/nomad.md says how.

variable "harness" {
  type        = string
  description = "Where an agent gets the harness from, as for `artifact`: a build of ci/build-static.sh."
}

variable "plugin" {
  type        = string
  description = "The path of the driver's program on the nodes."
}

variable "plugin_args" {
  type    = string
  default = ""
}

variable "capability" {
  type        = string
  default     = ""
  description = "What is declared, separated by commas."
}

variable "filter" {
  type        = string
  default     = ""
  description = "Globs on ids, families, tags and rules, separated by commas. The whole suite if empty."
}

variable "shards" {
  type        = number
  default     = 1
  description = "More than 1 only in a job of type `batch` whose group has this `count`."
}

job "harness" {
  type        = "sysbatch"
  datacenters = ["*"]

  group "suite" {
    # A verdict is not tried again.
    restart {
      attempts = 0
      mode     = "fail"
    }

    task "run" {
      # The plugin is a program of the node, which a task of `exec` would not see.
      driver = "raw_exec"

      artifact {
        source      = var.harness
        destination = "local/harness"
        mode        = "file"
      }

      # What the driver runs, in its own words.
      template {
        destination = "local/task.toml"
        data        = <<EOF
command = "{program}"
args = ["{arguments}"]
EOF
      }

      template {
        destination = "local/suite.sh"
        data        = <<EOF
set -eu
# Not in the allocation: sockets lie in it, and the path of a socket is short.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
set -- run --nomad-plugin "$PLUGIN" --task-config "$NOMAD_TASK_DIR/task.toml" --out "$scratch/out"
set -- "$@" --report "junit=$NOMAD_ALLOC_DIR/junit.xml" --report "json=$NOMAD_ALLOC_DIR/report.json"
set -- "$@" --report "text=$NOMAD_ALLOC_DIR/report.txt"
[ -z "$PLUGIN_ARGS" ] || set -- "$@" --plugin-args "$PLUGIN_ARGS"
[ -z "$CAPABILITY" ] || set -- "$@" --capability "$CAPABILITY"
[ -z "$FILTER" ] || set -- "$@" --filter "$FILTER"
[ "$SHARDS" = 1 ] || set -- "$@" --shard "$((NOMAD_ALLOC_INDEX + 1))/$SHARDS" --seed 1
chmod +x "$NOMAD_TASK_DIR/harness"
code=0
"$NOMAD_TASK_DIR/harness" "$@" || code=$?
for bundle in "$scratch"/out/*.bundle; do
    [ ! -e "$bundle" ] || cp -r "$bundle" "$NOMAD_ALLOC_DIR/" || echo "harness: $bundle is not kept" >&2
done
exit "$code"
EOF
      }

      env {
        PLUGIN      = var.plugin
        PLUGIN_ARGS = var.plugin_args
        CAPABILITY  = var.capability
        FILTER      = var.filter
        SHARDS      = var.shards
      }

      config {
        command = "sh"
        args    = ["local/suite.sh"]
      }

      resources {
        cpu    = 2000
        memory = 1024
      }
    }
  }
}
