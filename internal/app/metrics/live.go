package metrics

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/app"
)

// live reads the present state when it is asked for, so that nothing is counted
// on the way of a message.
type live struct {
	mu   sync.Mutex // guards what follows
	read func() app.Snapshot
	past traffic // of connections that ended
	told traffic // the largest that was ever told: a counter never goes back
}

// traffic is what passed on connections.
type traffic struct{ in, out, bytesIn, bytesOut int64 }

func (t traffic) plus(o traffic) traffic {
	return traffic{t.in + o.in, t.out + o.out, t.bytesIn + o.bytesIn, t.bytesOut + o.bytesOut}
}

func (t traffic) max(o traffic) traffic {
	return traffic{max(t.in, o.in), max(t.out, o.out), max(t.bytesIn, o.bytesIn), max(t.bytesOut, o.bytesOut)}
}

func (l *live) bind(read func() app.Snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read = read
}

func (l *live) ended(e sallyport.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.past = l.past.plus(traffic{e.Messages, e.Replies, e.Received, e.Sent})
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sallyport_"+name, help, labels, nil)
}

var (
	connections  = desc("connections", "Open connections.", "transport")
	in           = desc("messages_received_total", "Data messages received from clients.")
	out          = desc("messages_sent_total", "Data messages sent to clients.")
	bytesIn      = desc("message_received_bytes_total", "Bytes received from clients, with frame headers, below TLS.")
	bytesOut     = desc("message_sent_bytes_total", "Bytes sent to clients, with frame headers, below TLS.")
	reloadOK     = desc("config_last_reload_successful", "Whether the last reload of the configuration succeeded.")
	reloaded     = desc("config_last_reload_success_timestamp_seconds", "When the configuration was last loaded.")
	notAfter     = desc("tls_certificate_not_after_timestamp_seconds", "End of the certificate for a name.", "name")
	sealEnds     = desc("seal_not_after_timestamp_seconds", "When sealing stops for a name unless there are new keys.", "authority")
	draining     = desc("draining", "Whether the server is shutting down.")
	warnings     = desc("config_warnings", "Settings that weaken the door; each is in the log at start.")
	unverified   = desc("backend_tls_unverified", "Gates whose backend's certificate is not checked.")
	suppressed   = desc("log_lines_suppressed_total", "Refusals left out of the log.")
	keysLoaded   = desc("jwks_last_success_timestamp_seconds", "When a key set was last read; 0 is never.", "gates")
	keysFailures = desc("jwks_failures_total", "Attempts to read a key set that failed.", "gates")
	verdicts     = desc("jwt_verdicts_total", "Tokens of a provider: hit is one known to be signed, miss one examined.", "gates", "memory")
	engineInfo   = desc("engine_info", "1; who feeds connections: poll or portable.", "engine")
	engineLends  = desc("engine_lends", "Whether crypto/tls is lent its buffers; only poll does so.")
	engineLate   = desc("engine_late_events_total", "Events of a connection that kept others waiting for more than 20 ms.")
)

// Describe implements prometheus.Collector.
func (l *live) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{connections, in, out, bytesIn, bytesOut, reloadOK, reloaded, notAfter, sealEnds, draining,
		warnings, unverified, suppressed, keysLoaded, keysFailures, verdicts, engineInfo, engineLends, engineLate} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (l *live) Collect(ch chan<- prometheus.Metric) {
	l.mu.Lock()
	read := l.read
	l.mu.Unlock()
	if read == nil {
		return
	}
	s := read()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	n, now := 0, traffic{}
	for c := range s.Conns {
		n++
		now = now.plus(of(c))
	}
	told := l.tell(now)
	gauge(connections, float64(n), "websocket")
	counter(in, float64(told.in))
	counter(out, float64(told.out))
	counter(bytesIn, float64(told.bytesIn))
	counter(bytesOut, float64(told.bytesOut))
	gauge(reloadOK, truth(s.ReloadOK))
	gauge(reloaded, seconds(s.Reloaded))
	for name, end := range s.NotAfter {
		gauge(notAfter, seconds(end), name)
	}
	for name, end := range s.SealEnds {
		gauge(sealEnds, seconds(end), name)
	}
	gauge(draining, truth(s.Draining))
	gauge(warnings, float64(s.Warnings))
	gauge(unverified, float64(s.Unverified))
	counter(suppressed, float64(s.Suppressed))
	for _, k := range s.Keys {
		gates := strings.Join(k.Gates, " ")
		gauge(keysLoaded, seconds(k.LastSuccess), gates)
		counter(keysFailures, float64(k.Failures), gates)
	}
	for _, v := range s.Verdicts {
		gates := strings.Join(v.Gates, " ")
		counter(verdicts, float64(v.Hits), gates, "hit")
		counter(verdicts, float64(v.Misses), gates, "miss")
	}
	gauge(engineInfo, 1, s.Engine.Name)
	gauge(engineLends, truth(s.Engine.Lends))
	counter(engineLate, float64(s.Engine.Late))
}

// tell adds what open connections have to what ended ones had. A connection
// that is between the two at this moment is missing from both for an instant.
func (l *live) tell(now traffic) traffic {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = l.told.max(l.past.plus(now))
	return l.told
}

func of(c *sallyport.Conn) (t traffic) {
	t.bytesIn, t.bytesOut = c.Bytes()
	t.in, t.out = c.Counts()
	return t
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
