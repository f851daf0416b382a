package wss

import "errors"

// body follows a request body without changing it, so that exactly its bytes are
// handed on. Chunks are read strictly (RFC 9112, section 7.1, without what
// readers disagree on): CRLF, no extensions, no trailers, at most 8 digits.
type body struct {
	state bodyState
	left  int64 // bytes left of the body, or of the chunk
	taken int64 // of chunked data
	max   int64
	size  int64 // of the chunk whose digits are being read
	seen  int   // its digits
}

type bodyState uint8

const (
	bodyDone   bodyState = iota
	bodyLength           // left bytes
	chunkSize            // digits, then CR
	chunkLF              // the LF after the digits
	chunkData            // left bytes
	chunkEndCR           // the CR after the data
	chunkEndLF
	lastCR // after the chunk of size 0
	lastLF
)

var (
	errChunk   = errors.New("the chunks are malformed")
	errTooBig  = errors.New("the body is larger than allowed")
	maxDigits  = 8
	noMoreBody = body{}
)

func newBody(length int64, chunked bool, limit int64) body {
	switch {
	case chunked:
		return body{state: chunkSize, max: limit}
	case length > 0:
		return body{state: bodyLength, left: length}
	}
	return noMoreBody
}

func (d *body) done() bool { return d.state == bodyDone }

// feed returns how many bytes at the beginning of b belong to the body. With an
// error, the byte after them is the mistake.
func (d *body) feed(b []byte) (n int, err error) {
	for n < len(b) && d.state != bodyDone {
		if d.state == bodyLength || d.state == chunkData {
			k := min(int64(len(b)-n), d.left)
			n += int(k)
			d.advance(k)
			continue
		}
		if err := d.step(b[n]); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// advance counts k bytes of data.
func (d *body) advance(k int64) {
	if d.left -= k; d.left > 0 {
		return
	}
	if d.state == bodyLength {
		d.state = bodyDone
	} else {
		d.state = chunkEndCR
	}
}

// step reads one byte between the data.
func (d *body) step(c byte) error {
	want := byte('\r')
	if d.state == chunkLF || d.state == chunkEndLF || d.state == lastLF {
		want = '\n'
	}
	if d.state == chunkSize {
		if v, ok := hexDigit(c); ok && d.seen < maxDigits {
			d.size, d.seen = d.size<<4|v, d.seen+1
			if d.taken+d.size > d.max {
				return errTooBig
			}
			return nil
		}
		if d.seen == 0 {
			return errChunk
		}
	}
	if c != want {
		return errChunk
	}
	switch d.state {
	case chunkLF:
		d.left, d.taken, d.state = d.size, d.taken+d.size, chunkData
		if d.size == 0 {
			d.state = lastCR
		}
		d.size, d.seen = 0, 0
	case chunkEndLF:
		d.state = chunkSize
	case lastLF:
		d.state = bodyDone
	default: // a CR, followed by its LF
		d.state++
	}
	return nil
}

func hexDigit(c byte) (int64, bool) {
	switch {
	case '0' <= c && c <= '9':
		return int64(c - '0'), true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int64(c|0x20-'a') + 10, true
	}
	return 0, false
}
