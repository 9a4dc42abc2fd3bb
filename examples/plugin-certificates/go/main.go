// Gives a certificate that it has made itself: the key is in this process and in Weir's, and on no disk.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"sync"
	"time"

	"weir.dev/plugin"
)

func generate(name string) (*plugin.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(7 * 24 * time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &plugin.Certificate{
		Chain: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})),
		Key:   string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
	}, nil
}

func main() {
	var mutex sync.Mutex
	made := map[string]*plugin.Certificate{}
	plugin.Serve(plugin.Options{
		Certificates: func(_ context.Context, serverName, _ string, _ json.RawMessage) (*plugin.Certificate, error) {
			if serverName == "" {
				serverName = "localhost"
			}
			mutex.Lock()
			defer mutex.Unlock()
			if known := made[serverName]; known != nil {
				return known, nil
			}
			certificate, err := generate(serverName)
			made[serverName] = certificate
			return certificate, err
		},
	})
}
