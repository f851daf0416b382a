package forward

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
)

const (
	maxKept   = 4 << 10 // bytes of a handle with headers in it
	maxHandle = 1 << 10 // bytes of a recheck handle
)

// question is all that the application is told.
type question struct {
	Cookie, Authorization       string // the browser's
	Origin, Gate, Host, Address string // the door's own view; empty if unknown
	Recheck                     string // the handle that stands in for Cookie and Authorization
}

// header is the whole header of the question: nothing is copied from a request,
// so no spelling of a forwarding or identity header can come along.
func (q question) header(again bool) http.Header {
	h := http.Header{"Accept": {"application/json"}, "User-Agent": {"sallyport"}, "Sallyport-Recheck": {"0"}, "X-Forwarded-Proto": {"https"}}
	if again {
		h.Set("Sallyport-Recheck", "1")
	}
	for name, value := range map[string]string{
		"Cookie": q.Cookie, "Authorization": q.Authorization, "Origin": q.Origin,
		"X-Forwarded-For": q.Address, "X-Forwarded-Host": q.Host, "X-Forwarded-Uri": q.Gate,
		"Sallyport-Recheck-Handle": q.Recheck,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	return h
}

// handle serialises q for a repeated question: with the application's handle if
// it gave one, and then without the credentials.
func (q question) handle(recheck string) ([]byte, error) {
	if recheck != "" {
		q.Cookie, q.Authorization, q.Recheck = "", "", recheck
	}
	var out []byte
	for _, part := range q.parts() {
		out = binary.AppendUvarint(out, uint64(len(*part)))
		out = append(out, *part...)
	}
	if len(out) > maxKept {
		clear(out)
		return nil, fmt.Errorf("headers of %d bytes can't be kept for checking again, at most %d; let the application answer with recheck", len(out), maxKept)
	}
	return out, nil
}

func (q *question) parts() []*string {
	return []*string{&q.Cookie, &q.Authorization, &q.Origin, &q.Gate, &q.Host, &q.Address, &q.Recheck}
}

var errHandle = errors.New("the identity has no usable handle")

// parseHandle reads what handle wrote.
func parseHandle(b []byte) (question, error) {
	var q question
	for _, part := range q.parts() {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return question{}, errHandle
		}
		*part, b = string(b[n:n+int(size)]), b[n+int(size):]
	}
	if len(b) > 0 || q.Cookie == "" && q.Authorization == "" && q.Recheck == "" {
		return question{}, errHandle
	}
	return q, nil
}

// fieldValue reports whether s may stand in a header (RFC 9110, section 5.5).
func fieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
