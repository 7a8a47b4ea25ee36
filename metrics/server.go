package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
)

const (
	// drainTimeout bounds how long a server that stops waits for its answers,
	// inclusive. Nothing that it serves is worth holding up the exit longer.
	drainTimeout = 5 * time.Second
	// writeTimeout bounds a scrape, reading its request included: a scraper
	// that stops reading loses its connection. Prometheus gives up after 10 s
	// by default. It is longer than reloadTimeout, so that a reload's answer
	// still arrives.
	writeTimeout = 30 * time.Second
	// reloadTimeout bounds a reload.
	reloadTimeout = 20 * time.Second
)

// Server serves the pages of Handler on one address.
type Server struct {
	listener net.Listener
	handler  Handler
}

// NewServer binds the address (host:port; port 0 picks a free one) at once, so
// that a second daemon fails before it has done anything. The error names the
// address and what to do. Close it, or Run it.
func NewServer(listen string, h Handler) (*Server, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("http.listen: cannot listen on %s: %s: %w", listen, bindAdvice(err), err)
	}
	return &Server{listener: l, handler: h}, nil
}

func bindAdvice(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program uses the address, perhaps another topupd; stop it or choose another port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no such address; use 127.0.0.1, or 0.0.0.0 for every interface"
	case errors.Is(err, syscall.EACCES):
		return "not permitted; choose a port above 1023"
	default:
		return "write host:port, such as 127.0.0.1:9846"
	}
}

// Addr is the address that was bound, with its real port.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close gives up a server that was never run.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves until ctx ends, then gives requests in flight at most five
// seconds and returns nil. An error means that it could not go on serving.
func (s *Server) Run(ctx context.Context) error {
	log := s.handler.logger()
	srv := &http.Server{
		Handler:           s.handler.routes(ctx),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // clients that misbehave
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving http on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		log.LogAttrs(drain, slog.LevelInfo, "http connections cut at exit", slog.Any("err", err))
		_ = srv.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving http on %s: %w", s.Addr(), err)
	}
	return nil
}
