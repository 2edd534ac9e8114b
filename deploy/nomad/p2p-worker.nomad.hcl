# Workers on a Nomad cluster whose clients run Consul agents. It has been checked as HCL only: no Nomad was at hand to run
# it. A worker registers itself, with its weight, versions and boot id, and leaves the rotation before it stops. So the
# service of this job is Nomad's own (provider = "nomad") and has another name: Nomad uses its check to judge a
# deployment and to restart a worker that hangs, and nothing is in Consul twice.
job "p2p-worker" {
  datacenters = ["dc1"]

  update {
    max_parallel     = 1
    health_check     = "checks"
    min_healthy_time = "5s"
    auto_revert      = true

    # Loading, converting and calibrating a model takes its time.
    healthy_deadline  = "10m"
    progress_deadline = "15m"
  }

  group "worker" {
    count = 3

    spread {
      attribute = "${node.unique.id}"
    }

    network {
      port "http" {}
    }

    service {
      name     = "p2p-worker-process"
      port     = "http"
      provider = "nomad"

      check {
        type     = "http"
        path     = "/readyz"
        interval = "10s"
        timeout  = "5s"

        check_restart {
          limit = 6
          grace = "10m"
        }
      }
    }

    task "worker" {
      driver = "docker"

      config {
        image           = "p2p-worker:0.1.0"
        network_mode    = "host"
        readonly_rootfs = true
        cap_drop        = ["ALL"]

        mount {
          type   = "tmpfs"
          target = "/tmp"
        }

        # The image's own check asks at 127.0.0.1, where nobody listens here; Nomad's check replaces it.
        healthchecks {
          disable = true
        }
      }

      env {
        CONSUL_HTTP_ADDR     = "http://${attr.unique.network.ip-address}:8500"
        P2P_WORKER_HOST      = "${NOMAD_IP_http}"
        P2P_WORKER_PORT      = "${NOMAD_PORT_http}"
        P2P_WORKER_ADVERTISE = "${NOMAD_IP_http}"
        XDG_CACHE_HOME       = "${NOMAD_ALLOC_DIR}/data"
        # Where browsers reach the lookup service, so that its page may send photos here:
        # P2P_WORKER_CORS_ORIGIN = "http://lookup.example:12480"
      }

      # The drain grace (2 s), then 30 s each for bodies that arrive and for requests in flight. A client's
      # max_kill_timeout must be as long.
      kill_signal  = "SIGTERM"
      kill_timeout = "65s"

      resources {
        cpu    = 1000
        memory = 1024
      }
    }
  }
}
