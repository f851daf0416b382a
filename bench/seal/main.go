// Command seal measures what SP-Seal/1 costs, in Go: the seal alone, and echoes
// and handshakes through a door on the loopback interface, sealed and unsealed.
//
// It takes orders, one JSON object a line, and answers each with one; run.mjs
// gives them, in between those for a browser. It measures for no verdict:
// nothing fails because it is slow.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"runtime"
	"time"
)

// maxUnderWay is how many bytes may be under way at once: half of what a door
// queues for a connection.
const maxUnderWay = 128 << 10

// order is one measurement.
type order struct {
	Do     string `json:"do"` // "alone", "agree", "echo", "open"
	Sealed bool   `json:"sealed"`
	Size   int    `json:"size"` // of a message, in bytes
	Window int    `json:"window"`
	N      int    `json:"n"`
}

// figures are what came out: times of one message or handshake.
type figures struct {
	Seal  float64 `json:"seal,omitempty"`  // µs
	Open  float64 `json:"open,omitempty"`  // µs
	Each  float64 `json:"each,omitempty"`  // µs of an echo, ms of a handshake
	Ours  float64 `json:"ours,omitempty"`  // ms of a handshake's cryptography, client
	Door  float64 `json:"door,omitempty"`  // … and door
	Bytes float64 `json:"bytes,omitempty"` // of WebSocket frames, client to door
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: seal FOLDER-OF-THE-PAGE")
	}
	s, err := newSite(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer s.close()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]string{"authority": s.authority, "pin": s.pin, "spki": s.spki, "go": runtime.Version()}); err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			log.Fatalf("order: %v", err)
		}
		f, err := s.measure(o)
		if err != nil {
			log.Fatalf("%+v: %v", o, err)
		}
		if err := out.Encode(f); err != nil {
			log.Fatal(err)
		}
	}
}

func (s *site) measure(o order) (figures, error) {
	if o.N < 1 || o.N > 1_000_000 || o.Size < 0 || o.Size > maxSize || o.Window < 0 || o.Window > 64 || o.Window*o.Size > maxUnderWay {
		return figures{}, fmt.Errorf("out of range")
	}
	runtime.GC() // what the last measurement left is not this one's
	switch o.Do {
	case "alone":
		return s.alone(o.Size, o.N)
	case "agree":
		return s.agree(o.N)
	case "echo":
		return s.echo(o)
	case "open":
		return s.open(o)
	}
	return figures{}, fmt.Errorf("unknown")
}

// perEach is a time divided among n, in units.
func perEach(d time.Duration, n int, unit time.Duration) float64 {
	return float64(d) / float64(unit) / float64(n)
}
