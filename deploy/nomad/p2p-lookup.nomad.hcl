# The lookup service, on two machines of a Nomad cluster whose clients run Consul agents. It has been checked as HCL only:
# no Nomad was at hand to run it. Nomad registers the lookup service itself, which no worker is.
job "p2p-lookup" {
  datacenters = ["dc1"]

  update {
    max_parallel     = 1
    health_check     = "checks"
    min_healthy_time = "5s"
    auto_revert      = true
  }

  group "lookup" {
    count = 2

    constraint {
      distinct_hosts = true
    }

    network {
      port "http" {
        static = 12480
      }
    }

    service {
      name     = "p2p-lookup"
      port     = "http"
      provider = "consul"

      check {
        type     = "http"
        path     = "/readyz"
        interval = "5s"
        timeout  = "2s"

        # /readyz is 503 until Consul has answered once: a restart before that would help nobody.
        check_restart {
          limit = 3
          grace = "60s"
        }
      }
    }

    task "lookup" {
      driver = "docker"

      config {
        image           = "p2p-lookup:0.1.0"
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
        CONSUL_HTTP_ADDR   = "http://${attr.unique.network.ip-address}:8500"
        P2P_REGISTRY_HOST  = "${NOMAD_IP_http}"
        P2P_REGISTRY_PORT  = "${NOMAD_PORT_http}"
        P2P_REGISTRY_STATE = "${NOMAD_ALLOC_DIR}/data/lookup.json"
      }

      kill_timeout = "10s"

      resources {
        cpu    = 250
        memory = 256
      }
    }
  }
}
