package calls

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"resilience-harness.dev/csi/faults"
)

// FaultView is what the driver knows of its faults: those in force, and the ConfigMaps that could
// not be understood (name: error).
type FaultView struct {
	Instance  string            `json:"instance"`
	Active    []faults.Fault    `json:"active"`
	Malformed map[string]string `json:"malformed"`
}

// Handler serves /calls?since=N, /faults, /metrics and /healthz.
func Handler(recorder *Recorder, view func() FaultView, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /calls", func(w http.ResponseWriter, r *http.Request) {
		since := int64(0)
		if text := r.URL.Query().Get("since"); text != "" {
			var err error
			if since, err = strconv.ParseInt(text, 10, 64); err != nil {
				http.Error(w, "since is not a number: "+text, http.StatusBadRequest)
				return
			}
		}
		reply(w, map[string]any{"instance": recorder.Instance(), "calls": recorder.Since(since)})
	})
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) {
		shown := view()
		shown.Instance = recorder.Instance()
		reply(w, shown)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	return mux
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		slog.Error("a reply could not be written", "error", err)
	}
}
