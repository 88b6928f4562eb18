// Package conntrack stands in for github.com/mwitkow/go-conntrack, which CoreDNS never calls: it is linked because
// the metrics server's TLS settings share a package with an HTTP client's. The original brings in request tracing
// with its HTML templates, and those switch the linker's dead-code elimination off: 20 MB of the binary.
package conntrack

import (
	"context"
	"net"
)

type dial = func(context.Context, string, string) (net.Conn, error)

// Option chooses how a dialler connects; tracing and names have no effect here.
type Option func(dial) dial

// NewDialContextFunc gives a dialler that connects as the options say.
func NewDialContextFunc(options ...Option) dial {
	connect := (&net.Dialer{}).DialContext
	for _, option := range options {
		connect = option(connect)
	}
	return connect
}

// DialWithDialContextFunc connects with another dialler.
func DialWithDialContextFunc(other dial) Option {
	return func(dial) dial { return other }
}

// DialWithTracing changes nothing.
func DialWithTracing() Option {
	return func(connect dial) dial { return connect }
}

// DialWithName changes nothing.
func DialWithName(string) Option {
	return func(connect dial) dial { return connect }
}
