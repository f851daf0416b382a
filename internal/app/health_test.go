package app_test

import (
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestMetricsHost: a page whose name points to loopback reads no metrics.
func TestMetricsHost_AT05_AT97(t *testing.T) {
	w := newWorld(t)
	w.gates(w.jwtGate("/chat", "")).start()
	at := w.server.HealthAddr().String()
	for host, want := range map[string]int{
		at: 200, "localhost": 200, "127.0.0.1": 200, "[::1]:9090": 200, "LOCALHOST:1": 200, "a.localhost:9090": 200,
		"evil.example": 421, "evil.example:9090": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example": 421, "192.0.2.1": 421,
	} {
		r, err := http.NewRequest("GET", "http://"+at+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("AT-05 AT-97 %s: got %d, want %d", host, resp.StatusCode, want)
		}
	}
}

// TestMetricsHostElsewhere: a listener that other machines reach has names that
// nobody told the door.
func TestMetricsHostElsewhere(t *testing.T) {
	w := newWorld(t)
	w.configure(strings.Replace(w.text(w.jwtGate("/chat", "")), "health: 127.0.0.1:0", "health: 0.0.0.0:0", 1)).start()
	_, port, _ := net.SplitHostPort(w.server.HealthAddr().String())
	r, err := http.NewRequest("GET", "http://127.0.0.1:"+port+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "door.monitoring.example"
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("got %s", resp.Status)
	}
}
