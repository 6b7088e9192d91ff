package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"kubetrail/internal/durable"
	"kubetrail/policy"
)

const policyConvertLong = `Convert writes a policy of audit.k8s.io/v1beta1 or v1alpha1, which Kubernetes
1.24 and later do not read, as audit.k8s.io/v1. The versions differ in nothing
else, so every byte but those of the version stays, comments too. A policy of v1
comes back as it is.

With -w the file is replaced at once, or not at all, and keeps its permissions.`

func (a *app) policyConvertVerb() *cobra.Command {
	var inPlace bool
	cmd := &cobra.Command{
		Use:   "convert FILE",
		Short: "Write a policy as audit.k8s.io/v1",
		Long:  policyConvertLong,
		Example: `  # what would it be?
  kubetrail policy convert audit-policy.yaml | diff audit-policy.yaml -

  # replace the file
  kubetrail policy convert -w audit-policy.yaml`,
		Args: oneFile,
		RunE: func(_ *cobra.Command, args []string) error { return a.convertPolicy(args[0], inPlace) },
	}
	cmd.Flags().BoolVarP(&inPlace, "write", "w", false, "Replace the file instead of writing to standard output")
	return cmd
}

func (a *app) convertPolicy(name string, inPlace bool) error {
	if inPlace && name == "-" {
		return usage("leave -w away", "standard input cannot be replaced")
	}
	data, err := a.readPolicy(name)
	if err != nil {
		return err
	}
	converted, err := policy.Convert(data)
	if err != nil {
		return failed(fmt.Errorf("%s: %w", name, err), "kubetrail policy check "+name+" tells what kube-apiserver says")
	}
	switch {
	case !inPlace:
		_, err = a.out.Write(converted)
		return err
	case bytes.Equal(data, converted):
		return nil
	}
	return replaceFile(name, converted)
}

// replaceFile makes data the content of a file that exists, at once or not at all. Its
// permissions stay, and a symbolic link stays one.
func replaceFile(name string, data []byte) (err error) {
	defer func() {
		if errors.Is(err, fs.ErrPermission) {
			err = failed(err, "the file is replaced as a whole: its directory must be writable; or leave -w away")
		}
	}()
	name, err = filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return durable.Write(modeFS{mode: info.Mode().Perm()}, name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// modeFS makes files of a mode.
type modeFS struct {
	durable.OS
	mode os.FileMode
}

func (fs modeFS) Create(name string) (durable.File, error) {
	f, err := fs.OS.Create(name)
	if err == nil {
		err = os.Chmod(name, fs.mode)
	}
	return f, err
}
