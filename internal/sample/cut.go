//go:build ignore

// Cut makes sample.jsonl.zst: the first lines of the log of corpus a-gce-derived,
// as a real kube-apiserver v1.36.3 wrote them. They hold the whole story that was
// played on that cluster before the load: deployments created, scaled and deleted
// (nginx-old by jai), the configmap app-config in five versions, mallory's two
// minutes as cluster-admin, exec, impersonation, refusals, a panic.
//
//	go run cut.go ../../../shared/corpus/a-gce-derived.tar.zst
package main

import (
	"archive/tar"
	"bufio"
	"io"
	"log"
	"os"
	"path"

	"github.com/klauspost/compress/zstd"
)

// lines is where the story ends.
const lines = 2500

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: go run cut.go CORPUS.tar.zst")
	}
	if err := cut(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func cut(corpus string) error {
	f, err := os.Open(corpus)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		return err
	}
	defer z.Close()
	archive := tar.NewReader(z)
	for {
		h, err := archive.Next()
		if err != nil {
			return err // io.EOF too: there is no audit.log
		}
		if path.Base(h.Name) == "audit.log" {
			return write(bufio.NewReader(archive))
		}
	}
}

func write(r *bufio.Reader) error {
	out, err := os.Create("sample.jsonl.zst")
	if err != nil {
		return err
	}
	defer out.Close()
	z, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20))
	if err != nil {
		return err
	}
	for range lines {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if _, err := z.Write(line); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return out.Close()
}
