package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// FormatVersion is that of the JSON form of a [Result]. Members may be added to
// it; one that is removed, renamed or given another meaning makes it one higher.
const FormatVersion = 1

// Result is what was measured. Its JSON form has the unit in each name: _ms
// milliseconds, _seconds, _bytes, _per_second.
type Result struct {
	Format      int         `json:"format"` // FormatVersion
	Target      string      `json:"target"` // without its query
	Began       time.Time   `json:"began"`
	Interrupted bool        `json:"interrupted"` // it ended before its time; everything else is what there was until then
	Settings    Settings    `json:"settings"`
	Measured    float64     `json:"measured_seconds"` // of the time in which messages count
	TLS         *TLS        `json:"tls"`              // of the first connection; null without TLS
	Connections Connections `json:"connections"`
	Messages    Messages    `json:"messages"`
	Latency     *Quantiles  `json:"latency_ms"` // from when a message was due to its reply; null when there was none
	Late        *Quantiles  `json:"late_ms"`    // from when a message was due until it was written; null when there was none
	Churn       *Churn      `json:"churn"`      // null without
	Storm       *Storm      `json:"storm"`      // null without
	Refusals    []Refusal   `json:"refusals"`
	Failures    []Failure   `json:"failures"`
	Closes      []Close     `json:"closes"`
}

// Settings are those of the run.
type Settings struct {
	Connections int     `json:"connections"`
	Rate        float64 `json:"rate_per_connection_per_second"`
	Size        int     `json:"size_bytes"`
	Text        bool    `json:"text"`
	Expect      Expect  `json:"expect"`
	Ramp        float64 `json:"ramp_per_second"`
	Handshakes  int     `json:"handshakes_at_once"`
	Warmup      float64 `json:"warmup_seconds"`
	Duration    float64 `json:"duration_seconds"`
	Churn       float64 `json:"churn_per_second"`
	Storm       bool    `json:"storm"`
	Resume      bool    `json:"resume"`
}

// TLS is what the first connection agreed on.
type TLS struct {
	Version string `json:"version"`
	Cipher  string `json:"cipher"`
	Group   string `json:"group"` // of the key exchange; empty if unknown
}

// Connections counts attempts to open one, by churn and storm too.
type Connections struct {
	Opened  int        `json:"opened"`
	Resumed int        `json:"resumed"` // of them, with a TLS session from before
	Refused int        `json:"refused"` // by a status, or by a close frame at once
	Failed  int        `json:"failed"`  // not a connection: network, TLS, or no WebSocket
	Ended   int        `json:"ended"`   // by the server or the network, before their time
	Most    int        `json:"most_open"`
	Ramp    float64    `json:"ramp_seconds"` // until each had been tried once
	Open    *Quantiles `json:"open_ms"`      // from the dial to the 101, of all that opened; null when none did
	Connect *Quantiles `json:"connect_ms"`   // of that, TCP
	Secure  *Quantiles `json:"tls_ms"`       // of that, TLS
	Upgrade *Quantiles `json:"upgrade_ms"`   // of that, request and 101
}

// Messages counts those that were due while it was measured.
type Messages struct {
	Sent       uint64  `json:"sent"`
	Answered   uint64  `json:"answered"`
	Lost       uint64  `json:"lost"`       // a later one was answered
	Unanswered uint64  `json:"unanswered"` // at the end, or when their connection ended
	Unsent     uint64  `json:"unsent"`     // were due, and could not be sent in time
	Other      uint64  `json:"other"`      // received at any time, and no reply
	SentRate   float64 `json:"sent_per_second"`
	Rate       float64 `json:"answered_per_second"`
}

// Churn counts connections that were closed to be opened again.
type Churn struct {
	Closed int `json:"closed"`
	Opened int `json:"opened"`
	Failed int `json:"failed"` // refused ones too
}

// Storm says how long it took after all connections were cut.
type Storm struct {
	Cut        int        `json:"cut"`
	Back       int        `json:"back"`
	AllBack    bool       `json:"all_back"`          // within a minute
	Seconds    float64    `json:"last_back_seconds"` // from the cut to the last that is back
	Handshakes float64    `json:"handshakes_per_second"`
	Attempts   int        `json:"attempts"`
	BackIn     *Quantiles `json:"back_ms"` // null when nobody is back
}

// Refusal counts answers that let nobody in.
type Refusal struct {
	Status int    `json:"status"` // 101: the upgrade was completed and closed at once
	Code   uint16 `json:"code"`   // of that close frame; else 0
	Reason string `json:"reason"` // the server's text; it chose it
	Count  int    `json:"count"`
}

// Failure counts attempts that found no WebSocket.
type Failure struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

// Close counts connections that ended before their time.
type Close struct {
	Code   uint16 `json:"code"`   // 1005: a close frame without one; 1006: there was none
	Reason string `json:"reason"` // the server's text, or what became of the connection
	Count  int    `json:"count"`
}

// Quantiles of a histogram, in milliseconds.
type Quantiles struct {
	Count int64   `json:"count"`
	Min   float64 `json:"min"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	P9999 float64 `json:"p9999"`
	Max   float64 `json:"max"`
}

// quantiles is nil for a histogram of nothing.
func quantiles(h *hdrhistogram.Histogram) *Quantiles {
	if h == nil || h.TotalCount() == 0 {
		return nil
	}
	at := func(q float64) float64 { return milliseconds(float64(h.ValueAtQuantile(q))) }
	return &Quantiles{
		Count: h.TotalCount(), Min: milliseconds(float64(h.Min())), Mean: milliseconds(h.Mean()),
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), P9999: at(99.99), Max: milliseconds(float64(h.Max())),
	}
}

// milliseconds rounds nanoseconds to microseconds: more would be noise.
func milliseconds(ns float64) float64 { return round(ns/1e6, 1e3) }

func seconds(ns int64) float64 { return round(float64(ns)/1e9, 1e3) }

func round(f, unit float64) float64 {
	return float64(int64(f*unit+0.5)) / unit
}

// Progress is where a run has come to.
type Progress struct {
	Phase    string        // "opening", "warming up", "measuring", "storm", "closing"
	Left     time.Duration // of the phase; 0 if nobody knows
	Open     int           // connections
	Wanted   int
	Failed   int           // attempts refused or failed
	Ended    int           // connections, before their time
	Answered uint64        // messages, while it was measured
	Median   time.Duration // of the latency so far; 0 when there is none
	Worst    time.Duration // its 99th percentile
}
