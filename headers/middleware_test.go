package headers_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/headers"
)

func TestMiddleware(t *testing.T) {
	p := policy(t, headers.Config{})
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for _, tt := range []struct {
		name   string
		next   http.HandlerFunc
		status int
		body   string
	}{
		{"SR-08 SR-26 SR-27 a handler that writes nothing", func(http.ResponseWriter, *http.Request) {}, 200, ""},
		{"SR-08 SR-26 SR-27 an implicit 200", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }, 200, "hello"},
		{"SR-08 SR-26 SR-27 403", status(403), 403, ""},
		{"SR-08 SR-26 SR-27 404 by http.NotFound", http.NotFound, 404, "404 page not found\n"},
		{"SR-08 SR-26 SR-27 426", status(426), 426, ""},
		{"SR-08 SR-26 SR-27 500", status(500), 500, ""},
		{"SR-08 SR-26 SR-27 204", status(204), 204, ""},
		{"SR-08 SR-26 SR-27 a redirect", http.RedirectHandler("/login", http.StatusSeeOther).ServeHTTP, 303, "<a href=\"/login\">See Other</a>.\n\n"},
		{"SR-08 SR-26 SR-27 a flush before the first byte", func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).Flush(); err != nil {
				panic(err)
			}
			io.WriteString(w, "late")
		}, 200, "late"},
		{"SR-08 SR-26 SR-27 a flush through the interface", func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
		}, 200, ""},
		{"SR-08 SR-26 SR-27 a copy", func(w http.ResponseWriter, _ *http.Request) {
			io.Copy(w, struct{ io.Reader }{strings.NewReader("copied")})
		}, 200, "copied"},
		{"SR-08 headers of the handler come first", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Strict-Transport-Security", "max-age=0")
			w.WriteHeader(200)
		}, 200, ""},
		{"SR-08 a panic that somebody further out answers", func(http.ResponseWriter, *http.Request) { panic("ours") }, 500, "recovered"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(recovering(p.Middleware(tt.next)))
			defer srv.Close()
			client := srv.Client()
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			res, err := client.Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, res.Body); got != tt.body || res.StatusCode != tt.status {
				t.Errorf("got %d %q, want %d %q", res.StatusCode, got, tt.status, tt.body)
			}
			if got := wire(res.Header); got != snapshot {
				t.Errorf("got\n%s\nwant\n%s", got, snapshot)
			}
		})
	}
}

func recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(500)
				io.WriteString(w, "recovered")
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func TestMiddlewareInterim(t *testing.T) {
	p := policy(t, headers.Config{})
	srv := httptest.NewServer(p.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.js>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("X-Frame-Options", "SAMEORIGIN") // not too late
		w.WriteHeader(200)
	})))
	defer srv.Close()
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code != 103 || h.Get("X-Frame-Options") != "" {
				t.Errorf("interim %d with X-Frame-Options %q", code, h.Get("X-Frame-Options"))
			}
			return nil
		}}), "GET", srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("X-Frame-Options"); got != "SAMEORIGIN" || res.Header.Get("Strict-Transport-Security") != hsts {
		t.Errorf("X-Frame-Options %q, HSTS %q", got, res.Header.Get("Strict-Transport-Security"))
	}
}

func TestMiddlewareHijack(t *testing.T) {
	p := policy(t, headers.Config{})
	for name, hijack := range map[string]func(http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error){
		"through the controller": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
			return http.NewResponseController(w).Hijack()
		},
		"through the interface": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
			return w.(http.Hijacker).Hijack()
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(p.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
					t.Error(err)
				}
				c, _, err := hijack(w)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				c.Write(append(p.Append([]byte("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n")), "\r\n"...))
			})))
			defer srv.Close()
			res, err := srv.Client().Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if got := wire(res.Header); res.StatusCode != 403 || got != snapshot {
				t.Errorf("%d, got\n%s\nwant\n%s", res.StatusCode, got, snapshot)
			}
		})
	}
	t.Run("a writer that cannot", func(t *testing.T) {
		rec := httptest.NewRecorder()
		p.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
				t.Errorf("Hijack: %v, want not supported", err)
			}
		})).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
		if got := wire(rec.Header()); got != snapshot {
			t.Errorf("got\n%s\nwant\n%s", got, snapshot)
		}
	})
}
