package ws

import (
	"bytes"
	"fmt"
	"strings"
)

// Bounds of a request head.
const (
	// MaxHead is the largest head accepted, in bytes, its last CRLF included.
	MaxHead = 16 << 10
	// MaxHeadLines is the largest number of header lines, the request line not counted.
	MaxHeadLines = 64
	// maxMethod is the longest method, in bytes; the longest registered one has 17.
	maxMethod = 24
)

// Head is a request head that was read completely and strictly. All its strings
// share one copy of the bytes read.
type Head struct {
	Method        string
	Target        string  // origin-form: "/path" or "/path?query", visible ASCII, no fragment
	Host          string  // the only Host line; never empty
	Fields        []Field // in the order of the wire, Host included
	ContentLength int64   // of the body; 0 without one and when Chunked
	Chunked       bool    // the body is in chunks; then there is no Content-Length
	Upgrade       bool    // "Upgrade: websocket" is present; then there is no body
	Len           int     // bytes of the head, its last CRLF included
}

// Field is one header line: a token and a value without control characters and
// without white space around it.
type Field struct{ Name, Value string }

// Get returns the value of the first field called name, compared without case.
func (h *Head) Get(name string) string {
	for _, f := range h.Fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Count returns the number of fields called name, compared without case.
func (h *Head) Count(name string) int {
	n := 0
	for _, f := range h.Fields {
		if strings.EqualFold(f.Name, name) {
			n++
		}
	}
	return n
}

// HeadError refuses a request head. Status is 400, 405, 431 or 505; Why is one of
// a few constant sentences, so that it is safe to log and to count.
type HeadError struct {
	Status int
	Why    string
}

func (e *HeadError) Error() string { return fmt.Sprintf("request head: %s (%d)", e.Why, e.Status) }

func malformed(why string) *HeadError { return &HeadError{400, why} }

// ParseHead reads the head of an HTTP/1.1 request from the beginning of b. It
// returns nothing at all while b is only the beginning of a head, and n, the
// length of the head, with it. The error is always a *HeadError.
//
// It is deliberately narrower than RFC 9112, so that no two readers of the same
// bytes can disagree: lines end in CRLF, never in a bare LF or CR; no folding, no
// space before a colon; the target is in origin-form; the version is HTTP/1.1;
// there is exactly one Host and at most one of every field that decides
// something; a body is announced by Content-Length or by "chunked", never both.
//
// A caller whose b grows keeps a [HeadScanner] instead: it looks at no byte twice.
func ParseHead(b []byte) (h *Head, n int, err error) { return new(HeadScanner).Scan(b) }

// HeadScanner reads one head from bytes that arrive in pieces. Each byte is
// looked at once, and a mistake is reported with the line that contains it. The
// zero value is ready; a scanner is used for one head.
type HeadScanner struct {
	line  int     // where the line in progress begins
	seen  int     // bytes looked at
	start [3]span // method, target, version; empty before the request line was read
	spans []spans
	kinds uint32 // the fields of once that were seen, as bits by index
	facts Head   // what the lines said so far; its strings are not set
	err   *HeadError
}

type span struct{ from, to uint16 }   // MaxHead fits
type spans struct{ name, value span } // of one line
func (s span) of(b []byte) []byte     { return b[s.from:s.to] }
func (s span) in(all string) string   { return all[s.from:s.to] }
func spanOf(from, to int) span        { return span{uint16(from), uint16(to)} }

// Scan looks at the bytes that were added to b since the last call: b is the
// whole head so far, and what was there before must not have changed.
func (s *HeadScanner) Scan(b []byte) (h *Head, n int, err error) {
	if s.err != nil {
		return nil, 0, s.err
	}
	limit := min(len(b), MaxHead)
	for s.seen < limit {
		c := b[s.seen]
		s.seen++
		switch afterCR := s.seen > 1 && b[s.seen-2] == '\r'; {
		case afterCR && c != '\n':
			return s.fail(malformed("a bare CR in the head"))
		case c >= ' ' && c != 0x7f || c == '\t' || c == '\r' && s.seen > 1:
			continue
		case c != '\n':
			return s.fail(malformed("a control character in the head"))
		case !afterCR:
			return s.fail(malformed("a bare LF in the head"))
		}
		from, to := s.line, s.seen-2
		s.line = s.seen
		if from == to && s.start[0].to > 0 {
			return s.finish(b)
		}
		if e := s.takeLine(b, from, to); e != nil {
			return s.fail(e)
		}
	}
	if s.seen >= MaxHead {
		return s.fail(&HeadError{431, "the head is larger than 16 KiB"})
	}
	return nil, 0, nil
}

func (s *HeadScanner) fail(e *HeadError) (*Head, int, error) {
	s.err = e
	return nil, 0, e
}

func (s *HeadScanner) takeLine(b []byte, from, to int) *HeadError {
	if s.start[0].to == 0 {
		return s.requestLine(b, from, to)
	}
	if len(s.spans) == MaxHeadLines {
		return &HeadError{431, "more than 64 header lines"}
	}
	return s.fieldLine(b, from, to)
}

// requestLine reads "method SP target SP version".
func (s *HeadScanner) requestLine(b []byte, from, to int) *HeadError {
	line := b[from:to]
	one, two := bytes.IndexByte(line, ' '), bytes.LastIndexByte(line, ' ')
	if one < 1 || one == two {
		return malformed("the request line is not three words")
	}
	method, target, version := line[:one], line[one+1:two], line[two+1:]
	switch {
	case !isVersion(version):
		return malformed("the request line has no HTTP version")
	case string(version) != "HTTP/1.1":
		return &HeadError{505, "only HTTP/1.1 is spoken"}
	case len(method) > maxMethod || !isToken(method):
		return malformed("the method is not a token")
	case string(method) == "CONNECT" || string(method) == "TRACE":
		return &HeadError{405, "this method is not allowed"}
	}
	if why := badTarget(target); why != "" {
		return malformed(why)
	}
	s.spans = make([]spans, 0, 16) // almost always enough
	s.start = [3]span{spanOf(from, from+one), spanOf(from+one+1, from+two), spanOf(from+two+1, to)}
	return nil
}

// badTarget says why a target is none: origin-form is "/" and visible ASCII
// (RFC 9112, section 3.2.1). Escapes in the path must be whole, because a path
// that cannot be decoded is judged differently by everybody.
func badTarget(t []byte) string {
	if len(t) == 0 || t[0] != '/' {
		return "the target is not in origin-form"
	}
	query := false
	for i, c := range t {
		switch {
		case c <= ' ' || c >= 0x7f:
			return "the target has a space, a control character or a byte beyond ASCII"
		case c == '#':
			return "the target has a fragment"
		case c == '?':
			query = true
		case c == '%' && !query && (i+2 >= len(t) || !isHex(t[i+1]) || !isHex(t[i+2])):
			return "the path has a broken escape"
		}
	}
	return ""
}

// fieldLine reads "name ':' OWS value OWS".
func (s *HeadScanner) fieldLine(b []byte, from, to int) *HeadError {
	line := b[from:to]
	if line[0] == ' ' || line[0] == '\t' {
		return malformed("a header line is folded")
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 1 || !isToken(line[:colon]) {
		return malformed("the name of a header line is not a token")
	}
	v, w := colon+1, len(line)
	for v < w && isBlank(line[v]) {
		v++
	}
	for w > v && isBlank(line[w-1]) {
		w--
	}
	s.spans = append(s.spans, spans{spanOf(from, from+colon), spanOf(from+v, from+w)})
	return s.judge(line[:colon], line[v:w])
}

// once are the fields that decide something about a request: who asks, for what,
// and where the body ends. Readers disagree on which of two counts.
var once = [...]string{
	"Host", "Origin", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Content-Length", "Authorization",
	"Transfer-Encoding", "Upgrade", "Expect", "Cookie", "Sec-Fetch-Site", "Sec-Fetch-Mode",
}

const (
	bitHost    = 1 << 0
	bitLength  = 1 << 4
	bitCoding  = 1 << 6
	bitUpgrade = 1 << 7
	bitExpect  = 1 << 8
)

func (s *HeadScanner) judge(name, value []byte) *HeadError {
	if equalFold(name, "Trailer") {
		return malformed("trailers are announced")
	}
	bit := uint32(0)
	for i, f := range once {
		if equalFold(name, f) {
			bit = 1 << i
		}
	}
	if bit&s.kinds != 0 {
		return malformed("a header that may occur once occurs twice")
	}
	s.kinds |= bit
	switch bit {
	case bitHost:
		if !isHost(value) {
			return malformed("the Host is malformed")
		}
	case bitLength:
		n, ok := contentLength(value)
		if !ok {
			return malformed("the Content-Length is not a number")
		}
		s.facts.ContentLength = n
	case bitCoding:
		if string(value) != "chunked" {
			return malformed("the Transfer-Encoding is not chunked")
		}
		s.facts.Chunked = true
	case bitUpgrade:
		if !equalFold(value, "websocket") {
			return malformed("the Upgrade is not to websocket")
		}
		s.facts.Upgrade = true
	case bitExpect:
		if !equalFold(value, "100-continue") {
			return malformed("the Expect is not 100-continue")
		}
	}
	return nil
}

// finish judges the head as a whole, when its empty line was seen.
func (s *HeadScanner) finish(b []byte) (*Head, int, error) {
	method := string(s.start[0].of(b))
	body := s.facts.Chunked || s.facts.ContentLength > 0
	switch {
	case s.kinds&bitHost == 0:
		return s.fail(malformed("there is no Host"))
	case s.facts.Chunked && s.kinds&bitLength != 0:
		return s.fail(malformed("both Content-Length and Transfer-Encoding"))
	case s.facts.Upgrade && (body || s.kinds&bitExpect != 0):
		return s.fail(malformed("a handshake with a body"))
	case body && (method == "GET" || method == "HEAD"):
		return s.fail(malformed("a GET or HEAD with a body"))
	}
	h := s.facts
	all := string(b[:s.seen])
	h.Method, h.Target, h.Len = s.start[0].in(all), s.start[1].in(all), s.seen
	h.Fields = make([]Field, len(s.spans))
	for i, f := range s.spans {
		h.Fields[i] = Field{f.name.in(all), f.value.in(all)}
	}
	h.Host = h.Get("Host")
	return &h, h.Len, nil
}

// contentLength reads 1*DIGIT, without sign and without leading zeros, up to
// 18 digits: what every reader reads alike.
func contentLength(v []byte) (n int64, ok bool) {
	if len(v) == 0 || len(v) > 18 || len(v) > 1 && v[0] == '0' {
		return 0, false
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

func isVersion(v []byte) bool {
	return len(v) == 8 && string(v[:5]) == "HTTP/" && isDigit(v[5]) && v[6] == '.' && isDigit(v[7])
}

// isHost accepts the characters of a name, an address and a port. Whether the
// host is one of ours is not decided here.
func isHost(v []byte) bool {
	for _, c := range v {
		if !isAlnum(c) && strings.IndexByte("-._~:[]", c) < 0 {
			return false
		}
	}
	return len(v) > 0
}

// isToken implements the token of RFC 9110, section 5.6.2.
func isToken(v []byte) bool {
	for _, c := range v {
		if !isAlnum(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return len(v) > 0
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
func isAlnum(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' }

// equalFold compares ASCII without case and without an allocation. s is a
// constant of ours.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		x, y := b[i], s[i]
		if x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}
