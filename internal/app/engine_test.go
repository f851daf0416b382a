package app_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/app"
)

// TestEngine: the configuration chooses who feeds connections, log and metrics
// say who does, and a reload cannot change it.
func TestEngine(t *testing.T) {
	auto := "poll"
	if runtime.GOOS != "linux" {
		auto = "portable"
	}
	for _, row := range []struct{ word, other, want, lends string }{
		{"auto", "portable", auto, map[string]string{"poll": "1", "portable": "0"}[auto]},
		{"portable", "auto", "portable", "0"},
	} {
		t.Run(row.word, func(t *testing.T) {
			w := newWorld(t)
			w.env = nil
			good := w.text(w.jwtGate("/chat", ""))
			w.configure(good + "engine: " + row.word + "\n").start()
			conn := w.admit(client{bearer: w.idp.token(t, "alice", nil)})
			if !strings.Contains(w.log.String(), `"engine":"`+row.want+`"`) || strings.Contains(w.log.String(), "crypto/tls") {
				t.Errorf("the log says\n%s", w.log)
			}
			_, text := w.get("/metrics")
			for _, want := range []string{`sallyport_engine_info{engine="` + row.want + `"} 1`, "sallyport_engine_lends " + row.lends, "sallyport_engine_late_events_total "} {
				if !strings.Contains(text, "\n"+want) {
					t.Errorf("no %s", want)
				}
			}
			w.configure(good + "engine: " + row.other + "\n")
			if err := w.server.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "engine: a change needs a restart (was "+row.word) {
				t.Errorf("got %v", err)
			}
			alive(t, conn)
		})
	}
}

func TestEngineWarning(t *testing.T) {
	for _, row := range []struct {
		name  string
		stats sallyport.EngineStats
		warns bool
	}{
		{"polls and lends", sallyport.EngineStats{Lends: true}, false},
		{"polls with a crypto/tls that is not known", sallyport.EngineStats{}, true},
		{"never lends", sallyport.EngineStats{Engine: sallyport.EnginePortable}, false},
	} {
		got := app.EngineWarning(row.stats, "go1.99")
		if (got != "") != row.warns || row.warns && (!strings.Contains(got, "go1.99") || !strings.Contains(got, "6 KB")) {
			t.Errorf("%s: got %q", row.name, got)
		}
	}
}
