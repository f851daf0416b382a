package app

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/admin"
)

// healthHandler answers /livez (the process answers), /readyz (it takes
// connections: 503 from the first moment of draining) and /metrics. It is read
// only and knows nothing else.
func (s *Server) healthHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { tell(w, nil, false) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		tell(w, s.checks(time.Now()), r.URL.Query().Has("verbose"))
	})
	if m := s.options.Meter; m != nil {
		mux.Handle("GET /metrics", s.ownHost(m.Handler()))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

// ownHost answers on loopback only to the names of loopback: a page whose name
// was made to point there (DNS rebinding) could read everything else.
func (s *Server) ownHost(h http.Handler) http.Handler {
	if t, ok := s.health.Addr().(*net.TCPAddr); !ok || !t.IP.IsLoopback() {
		return h // scraped from elsewhere, under any name
	}
	hosts := admin.Hosts(s.health.Addr())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := strings.ToLower(r.Host)
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !slices.Contains(hosts, strings.Trim(host, "[]")) && !strings.HasSuffix(host, ".localhost") {
			http.Error(w, "this host name is not served here", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Ready reports whether the server takes connections.
func (s *Server) Ready() bool {
	for _, why := range s.checks(time.Now()) {
		if why != "" {
			return false
		}
	}
	return true
}

// checks are the conditions of being ready; "" is good.
func (s *Server) checks(now time.Time) map[string]string {
	out := map[string]string{"listeners": "", "draining": "", "keys": "", "certificates": ""}
	if !s.serving.Load() {
		out["listeners"] = "not serving yet"
	}
	if s.draining.Load() {
		out["draining"] = "draining"
	}
	p := s.now()
	for _, v := range p.verifiers {
		if v.url || v.file {
			switch last := v.LastSuccess(); {
			case last.IsZero():
				out["keys"] = "a key set was never read"
			case now.Sub(last) > keysTrusted:
				out["keys"] = "a key set is too old to be trusted"
			}
		}
	}
	valid, total := 0, 0
	for _, end := range p.certs.notAfter() {
		total++
		if now.Before(end) {
			valid++
		}
	}
	if valid < total {
		out["certificates"] = "a certificate has expired"
	}
	return out
}

// tell answers 200 or 503, with one line per check if asked for.
func tell(w http.ResponseWriter, checks map[string]string, verbose bool) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	var names []string
	status, word := http.StatusOK, "ok"
	for name, why := range checks {
		names = append(names, name)
		if why != "" {
			status, word = http.StatusServiceUnavailable, "not ready"
		}
	}
	w.WriteHeader(status)
	if verbose {
		sort.Strings(names)
		for _, name := range names {
			switch why := checks[name]; {
			case why == name:
				fmt.Fprintf(w, "[-] %s\n", name)
			case why != "":
				fmt.Fprintf(w, "[-] %s: %s\n", name, why)
			case name == "draining":
				fmt.Fprintln(w, "[+] not draining") // "draining: ok" would read as the contrary
			default:
				fmt.Fprintf(w, "[+] %s: ok\n", name)
			}
		}
	}
	fmt.Fprintln(w, word)
}
