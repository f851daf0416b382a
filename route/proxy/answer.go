package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
)

// readAnswer reads the head of the backend's answer to a handshake. Interim
// answers (103 and other 1xx) are read and dropped; all together have at most 16 KiB.
// early are the bytes behind a 101: frames.
func readAnswer(r io.Reader) (response *http.Response, early []byte, err error) {
	left := ws.MaxHead
	var h responseHead
	for {
		end, err := h.read(r, left)
		if err != nil {
			return nil, nil, err
		}
		left -= end
		response, err = http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(h.buf[:end]), end), &http.Request{Method: http.MethodGet})
		if err != nil {
			return nil, nil, deny.Because(deny.BackendProtocol, fmt.Errorf("read the answer: %w", err))
		}
		h = responseHead{buf: h.buf[end:]}
		if response.StatusCode == http.StatusSwitchingProtocols || response.StatusCode >= 200 {
			return response, bytes.Clone(h.buf), nil
		}
		if len(response.Header["Content-Length"]) > 0 || len(response.TransferEncoding) > 0 {
			return nil, nil, deny.Because(deny.BackendProtocol, fmt.Errorf("an interim answer %d with a body", response.StatusCode))
		}
	}
}

// responseHead collects a head and looks at each byte once. It is stricter than
// net/http, so that nobody behind us reads the same bytes differently: lines end
// in CRLF, none is folded, none has a control character.
type responseHead struct {
	buf   []byte
	seen  int // bytes looked at
	line  int // where the line in progress begins
	lines int
}

// read returns the length of the head, which is at the beginning of h.buf.
func (h *responseHead) read(r io.Reader, most int) (end int, err error) {
	for {
		end, why := h.scan(most)
		switch {
		case why != "":
			return 0, deny.Because(deny.BackendProtocol, errors.New("read the answer: "+why))
		case end > 0:
			return end, nil
		}
		h.buf = slices.Grow(h.buf, 512) // more than most answers have
		n, err := r.Read(h.buf[len(h.buf):cap(h.buf)])
		h.buf = h.buf[:len(h.buf)+n]
		if n == 0 && err != nil {
			if len(h.buf) > 0 && !timedOut(err) {
				return 0, deny.Because(deny.BackendProtocol, fmt.Errorf("the answer ends in its head: %w", err))
			}
			return 0, silent(fmt.Errorf("wait for the answer: %w", err))
		}
	}
}

func (h *responseHead) scan(most int) (end int, why string) {
	for ; h.seen < len(h.buf); h.seen++ {
		if h.seen >= most {
			return 0, "its head is larger than 16 KiB"
		}
		c := h.buf[h.seen]
		afterCR := h.seen > h.line && h.buf[h.seen-1] == '\r'
		switch {
		case (c == '\n') != afterCR:
			return 0, "a line does not end in CRLF"
		case c == '\n':
			if h.seen-1 == h.line {
				return h.seen + 1, ""
			}
			if h.lines == 0 && !bytes.HasPrefix(h.buf[h.line:h.seen], []byte("HTTP/1.")) {
				return 0, "it is not HTTP/1.1"
			}
			if name, _, found := bytes.Cut(h.buf[h.line:h.seen], []byte(":")); h.lines > 0 && (!found || bytes.ContainsAny(name, " \t")) {
				return 0, "a line is no header"
			}
			if h.lines++; h.lines > 1+ws.MaxHeadLines {
				return 0, "its head has more than 64 lines"
			}
			h.line = h.seen + 1
		case c == '\r':
		case c < ' ' && c != '\t', c == 0x7f:
			return 0, "its head has a control character"
		case (c == ' ' || c == '\t') && h.seen == h.line:
			return 0, "a line is folded"
		}
	}
	return 0, ""
}
