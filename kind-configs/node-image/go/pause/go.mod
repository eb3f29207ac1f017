module resilience-harness/node-image/pause

go 1.26.0
