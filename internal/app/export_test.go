package app

import (
	"os"

	"github.com/sallyport/sallyport"
)

// Observe gives s an event as its door would.
func Observe(s *Server, e sallyport.Event) { s.observe(e) }

// Rename makes the hosts of s follow its certificates, as a poll does that finds new ones.
func Rename(s *Server) { s.rename() }

// EngineWarning is what is logged of an engine.
func EngineWarning(e sallyport.EngineStats, goVersion string) string {
	return engineOf(e).warning(goVersion)
}

// EngineEnv lets SALLYPORT_ENGINE run the tests on another engine, as it does
// with the program.
func EngineEnv() []string {
	if engine := os.Getenv("SALLYPORT_ENGINE"); engine != "" {
		return []string{"SALLYPORT_ENGINE=" + engine}
	}
	return nil
}
