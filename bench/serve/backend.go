package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"

	"github.com/sallyport/sallyport/internal/ws"
)

// backend is the cheapest echo that can stand behind a relay: no TLS, a small
// buffer for each connection, frames unmasked and sent back in place, one write
// for all frames of a read. It trusts whoever relays: it checks nothing.
func (s *site) backend() error {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return err
		}
		go backendServe(c) // ends with the connection
	}
}

func backendServe(c net.Conn) {
	defer c.Close()
	r, err := http.ReadRequest(bufio.NewReaderSize(c, 4096)) // nobody sends a frame before the 101
	if err != nil {
		return
	}
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		ws.AcceptKey(r.Header.Get("Sec-WebSocket-Key")) + "\r\n\r\n"
	if _, err := io.WriteString(c, answer); err != nil {
		return
	}
	buf := make([]byte, backendSmall)
	have := 0
	for {
		n, err := c.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		answers, used := reframe(buf[:have])
		if answers > 0 {
			if _, err := c.Write(buf[:answers]); err != nil {
				return
			}
		}
		have = copy(buf, buf[used:have])
		switch {
		case have == len(buf): // a frame that does not fit
			buf = append(make([]byte, 0, backendLarge), buf...)[:backendLarge]
		case have == 0 && len(buf) > backendSmall:
			buf = make([]byte, backendSmall)
		}
	}
}

// Sizes of buffers in bytes: a frame of 16 KiB fits into the large one.
const (
	backendSmall = 2 << 10
	backendLarge = 20 << 10
)

// reframe unmasks the whole frames of b, takes their keys out and moves them
// together at its beginning. It returns how many bytes of answers that makes, and
// of how many bytes of frames.
func reframe(b []byte) (answers, used int) {
	for {
		f := b[used:]
		if len(f) < 2 {
			return answers, used
		}
		head, size := 2, int(f[1]&0x7f)
		switch size {
		case 126:
			head = 4
		case 127:
			head = 10
		}
		masked := int(f[1] >> 7 * 4)
		if len(f) < head+masked {
			return answers, used
		}
		switch head {
		case 4:
			size = int(binary.BigEndian.Uint16(f[2:]))
		case 10:
			size = int(binary.BigEndian.Uint64(f[2:]))
		}
		if len(f) < head+masked+size {
			return answers, used
		}
		payload := f[head+masked : head+masked+size]
		if masked > 0 {
			ws.Mask(payload, ws.MaskKey(f[head:]))
		}
		f[1] &= 0x7f
		copy(b[answers:], f[:head])
		copy(b[answers+head:], payload)
		answers, used = answers+head+size, used+head+masked+size
	}
}
