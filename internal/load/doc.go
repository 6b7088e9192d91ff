// Package load tells what loads an API server, and what fills its audit log.
package load
