package main

import (
	"bytes"
	"errors"
	"time"

	"github.com/sallyport/sallyport/seal"
)

// shake is a handshake without a network, and how long each side computed.
func (s *site) shake() (client, door *seal.Session, ours, theirs time.Duration, err error) {
	at := seal.Context{Token: sealToken, Authority: s.authority, Target: "/sealed", Origin: "https://" + s.authority}
	began := time.Now()
	c, hello, err := seal.NewClient(s.entry, at, seal.Options{})
	if err != nil {
		return nil, nil, 0, 0, err
	}
	ours = time.Since(began)

	began = time.Now()
	server, answer, err := seal.Accept(s.ring, at, hello, seal.Options{})
	if err != nil {
		return nil, nil, 0, 0, err
	}
	theirs = time.Since(began)

	began = time.Now()
	client, record, err := c.Finish(answer, seal.Credential{}, nil)
	if err != nil {
		return nil, nil, 0, 0, err
	}
	ours += time.Since(began)

	began = time.Now()
	door, _, err = server.Authenticate(record)
	theirs += time.Since(began)
	return client, door, ours, theirs, err
}

// agree measures the cryptography of handshakes.
func (s *site) agree(n int) (f figures, err error) {
	var client, door time.Duration
	for range n {
		_, _, ours, theirs, err := s.shake()
		if err != nil {
			return f, err
		}
		client, door = client+ours, door+theirs
	}
	f.Ours, f.Door = perEach(client, n, time.Millisecond), perEach(door, n, time.Millisecond)
	return f, nil
}

// alone measures sealing and opening messages, in portions that fit into the caches
// as records on their way do.
func (s *site) alone(size, n int) (f figures, err error) {
	client, door, _, _, err := s.shake()
	if err != nil {
		return f, err
	}
	const portion = 16
	message := bytes.Repeat([]byte{'x'}, size)
	var buffer []byte
	var ends []int
	var sealing, opening time.Duration
	for done := 0; done < n; done += portion {
		buffer, ends = buffer[:0], ends[:0]
		began := time.Now()
		for range portion {
			for rest := message; ; {
				part := rest[:min(len(rest), seal.MaxData)]
				rest = rest[len(part):]
				if buffer, err = client.Seal(buffer, seal.Binary, len(rest) > 0, part); err != nil {
					return f, err
				}
				if ends = append(ends, len(buffer)); len(rest) == 0 {
					break
				}
			}
		}
		sealing += time.Since(began)
		began = time.Now()
		got, from := 0, 0
		for _, end := range ends {
			r, err := door.Open(buffer[from:end])
			if err != nil {
				return f, err
			}
			got, from = got+len(r.Data), end
		}
		opening += time.Since(began)
		if got != portion*size {
			return f, errors.New("something is missing")
		}
	}
	n = (n + portion - 1) / portion * portion
	f.Seal, f.Open = perEach(sealing, n, time.Microsecond), perEach(opening, n, time.Microsecond)
	return f, nil
}
