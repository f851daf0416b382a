package headers

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// Middleware fills the headers of every response of next at the moment of its
// first WriteHeader, Write or Flush, so that next has had its say; also when next
// writes nothing, or panics and somebody further out answers. Interim responses
// (1xx) pass as they are. A response that next writes to a hijacked connection is
// its own: see [Policy.Append].
//
// The ResponseWriter that next gets works with http.NewResponseController.
func (p *Policy) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fw := &filler{ResponseWriter: w, policy: p}
		defer fw.fill()
		next.ServeHTTP(fw, r)
	})
}

// filler fills the headers once. Like every ResponseWriter it belongs to the
// goroutine of the handler.
type filler struct {
	http.ResponseWriter
	policy *Policy
	done   bool
}

func (w *filler) fill() {
	if !w.done {
		w.done = true
		w.policy.Fill(w.Header())
	}
}

// Unwrap is for http.ResponseController.
func (w *filler) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *filler) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.fill()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *filler) Write(b []byte) (int, error) {
	w.fill()
	return w.ResponseWriter.Write(b)
}

// ReadFrom keeps sendfile working.
func (w *filler) ReadFrom(r io.Reader) (int64, error) {
	w.fill()
	return io.Copy(w.ResponseWriter, r)
}

// FlushError is what http.ResponseController calls; Flush is for handlers that
// assert http.Flusher. Both may send the header.
func (w *filler) FlushError() error {
	w.fill()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *filler) Flush() { _ = w.FlushError() } // http.Flusher has no way to report it

// Hijack is for handlers that assert http.Hijacker. The response is theirs from
// then on; nothing is filled.
func (w *filler) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.done = true
	}
	return c, rw, err
}
