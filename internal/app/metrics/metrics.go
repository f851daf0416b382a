// Package metrics counts for Prometheus what the server does.
//
// It stops the flooding of a metrics store by whoever can reach the door: every
// label is from a set that the operator or the program wrote (codes of package
// deny, gates, names of certificates), never a user, an address, an origin or a
// path. Names follow the naming guide of Prometheus: base units, _total.
//
// The registry is its own, so that nothing else in the process appears in it.
package metrics

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/seal"
)

// Metrics is an [app.Meter].
type Metrics struct {
	registry *prometheus.Registry

	handshakes   *prometheus.CounterVec // result, reason
	handshake    prometheus.Histogram
	closed       *prometheus.CounterVec // code, side
	lasted       prometheus.Histogram
	authFailures *prometheus.CounterVec // method, reason
	origins      *prometheus.CounterVec // reason
	issued       *prometheus.CounterVec // result
	redeemed     *prometheus.CounterVec // result
	slow         *prometheus.CounterVec // action
	limited      *prometheus.CounterVec // limit
	decrypts     *prometheus.CounterVec // cause
	renewals     prometheus.Counter
	early        *prometheus.CounterVec // status

	live *live
}

var _ app.Meter = (*Metrics)(nil)

// New returns metrics for a program of this version, all zero.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), live: &live{}}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "sallyport", Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "sallyport", Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		})
		m.registry.MustRegister(h)
		return h
	}
	m.handshakes = counters("handshakes_total", "Handshakes and requests to the door, by result.", "result", "reason")
	m.handshake = histogram("handshake_duration_seconds", "From the request to the 101, for admitted connections.", prometheus.DefBuckets)
	m.closed = counters("connections_closed_total", "Connections that ended, by reason and by who ended them.", "code", "side")
	m.lasted = histogram("connection_duration_seconds", "Life of connections that ended.", prometheus.ExponentialBuckets(0.1, 4, 10))
	m.authFailures = counters("auth_failures_total", "Refusals because of the credential.", "method", "reason")
	m.origins = counters("origin_rejections_total", "Refusals because of Origin or Host.", "reason")
	m.issued = counters("tickets_issued_total", "Tickets asked for.", "result")
	m.redeemed = counters("tickets_redeemed_total", "Tickets presented.", "result")
	m.slow = counters("slow_consumers_total", "Clients that did not read fast enough, by what was done.", "action")
	m.limited = counters("rate_limited_total", "Refusals and endings because of a limit.", "limit")
	m.decrypts = counters("decrypt_failures_total", "Handshakes and records of the seal that failed, by cause; auth.invalid is the proof of a device's key.", "cause")
	m.early = counters("connections_refused_early_total", "Connections refused before a request was read, by HTTP status; 0 is a failed TLS handshake.", "status")
	renewals := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "sallyport", Name: "renewals_total", Help: "Connections whose end was moved."})
	m.renewals = renewals
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "sallyport", Name: "build_info", Help: "1; what runs."}, []string{"version", "goversion", "revision"})
	build.WithLabelValues(version, runtime.Version(), revision()).Set(1)
	m.registry.MustRegister(renewals, build, m.live, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// revision is the commit that the program was built from.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}

// Handler answers GET /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 20 * time.Second})
}

// Bind says where the present state can be read.
func (m *Metrics) Bind(read func() app.Snapshot) { m.live.bind(read) }

// Observe counts an event.
func (m *Metrics) Observe(e sallyport.Event) {
	m.unsealed(e)
	switch e.Kind {
	case sallyport.Admitted:
		m.handshakes.WithLabelValues("admitted", "").Inc()
		m.handshake.Observe(e.Lasted.Seconds())
	case sallyport.Refused:
		m.handshakes.WithLabelValues("refused", e.Reason.Code()).Inc()
		m.refused(e)
	case sallyport.Ended:
		m.closed.WithLabelValues(e.Reason.Code(), e.By).Inc()
		m.lasted.Observe(e.Lasted.Seconds())
		m.live.ended(e)
		switch e.Reason {
		case deny.GuardSlow:
			m.slow.WithLabelValues("closed").Inc()
		case deny.GuardTooFast:
			m.limited.WithLabelValues("rate").Inc()
		case deny.GuardTooBig:
			m.limited.WithLabelValues("message").Inc()
		}
	case sallyport.Renewed:
		m.renewals.Inc()
	}
}

// unsealed counts what went wrong inside the seal, before and after admission.
func (m *Metrics) unsealed(e sallyport.Event) {
	if e.Kind != sallyport.Refused && e.Kind != sallyport.Ended {
		return
	}
	switch e.Reason {
	case deny.SealKeys, deny.SealHandshake, deny.SealBroken, deny.SealMalformed, deny.SealLimit, deny.SealTruncated:
		m.decrypts.WithLabelValues(e.Reason.Code()).Inc()
	case deny.AuthInvalid:
		if seal.FaultOf(e.Cause) == seal.FaultProof {
			m.decrypts.WithLabelValues(e.Reason.Code()).Inc()
		}
	}
}

func (m *Metrics) refused(e sallyport.Event) {
	switch e.Reason {
	case deny.OriginUntrusted, deny.HTTPHost, deny.HTTPCrossSite:
		m.origins.WithLabelValues(e.Reason.Code()).Inc()
	case deny.AuthMissing, deny.AuthInvalid, deny.AuthExpired, deny.AuthTicketUsed, deny.AuthSignedOut, deny.AuthRevoked,
		deny.AuthInURL, deny.AuthUnavailable:
		method := e.Identity.Method
		if method == "" {
			method = "none"
		}
		m.authFailures.WithLabelValues(method, e.Reason.Code()).Inc()
	case deny.GuardFull:
		m.limited.WithLabelValues("connections").Inc()
	case deny.GuardCrowded:
		m.limited.WithLabelValues("per_address_or_subject").Inc()
	}
}

// Refused counts a connection that was refused before a request was read.
func (m *Metrics) Refused(status int) { m.early.WithLabelValues(strconv.Itoa(status)).Inc() }

// Ticket counts a ticket issued or redeemed.
func (m *Metrics) Ticket(issued, ok bool) {
	c, result := m.redeemed, "ok"
	if issued {
		c = m.issued
	}
	if !ok {
		result = "refused"
	}
	c.WithLabelValues(result).Inc()
}
