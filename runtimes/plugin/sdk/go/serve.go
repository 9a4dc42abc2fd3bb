package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"weir.dev/plugin/weirpb"
)

// Serve runs the plugin until Weir ends it. It prints the handshake, so nothing may be written to standard output before.
func Serve(options Options) {
	if os.Getenv("WEIR_PLUGIN") != "1" && os.Getenv("MOSN_PLUGIN") != "ON" {
		fmt.Fprintln(os.Stderr, "this program is a plugin: name it in a configuration of Weir, with `runtime: plugin`")
		os.Exit(1)
	}
	folder, err := os.MkdirTemp("", "plugin-")
	if err != nil {
		fail(err)
	}
	address := filepath.Join(folder, "socket")
	listener, err := net.Listen("unix", address)
	if err != nil {
		fail(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(math.MaxInt32), grpc.MaxSendMsgSize(math.MaxInt32))
	checks := health.NewServer()
	checks.SetServingStatus("plugin", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(server, checks)
	if options.Filter != nil {
		weirpb.RegisterFilterServer(server, &filters{create: options.Filter, made: map[string]any{}})
	}
	if options.Certificates != nil {
		weirpb.RegisterCertificateProviderServer(server, &certificates{provide: options.Certificates})
	}
	if options.AccessLog != nil {
		weirpb.RegisterAccessLoggerServer(server, &accessLogger{log: options.AccessLog})
	}
	if options.LoadBalancer != nil {
		weirpb.RegisterLoadBalancerServer(server, &loadBalancer{balance: options.LoadBalancer})
	}
	stop := sync.OnceFunc(func() {
		// What runs may end; what does not end is ended by Weir.
		server.GracefulStop()
	})
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "plugin.GRPCController",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Shutdown",
			Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				go stop()
				return &emptypb.Empty{}, decode(&emptypb.Empty{})
			},
		}},
	}, nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() { <-signals; stop() }()
	go func() { waitForParent(); os.RemoveAll(folder); os.Exit(0) }()
	fmt.Printf("1|1|unix|%s|grpc\n", address)
	err = server.Serve(listener)
	os.RemoveAll(folder)
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Weir holds the other end of standard input; where another program started this one, the parent's number tells.
func waitForParent() {
	if os.Getenv("WEIR_PLUGIN") == "1" {
		io.Copy(io.Discard, os.Stdin)
		return
	}
	parent := os.Getppid()
	for os.Getppid() == parent {
		time.Sleep(time.Second)
	}
}

type certificates struct {
	weirpb.UnimplementedCertificateProviderServer
	provide func(context.Context, string, string, json.RawMessage) (*Certificate, error)
}

func (c *certificates) Provide(ctx context.Context, request *weirpb.CertificateRequest) (*weirpb.CertificateResponse, error) {
	given, err := c.provide(ctx, request.ServerName, request.Listener, json.RawMessage(request.Config))
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if given == nil {
		return &weirpb.CertificateResponse{}, nil
	}
	return &weirpb.CertificateResponse{Chain: given.Chain, Key: given.Key, Ca: given.CA}, nil
}

type accessLogger struct {
	weirpb.UnimplementedAccessLoggerServer
	log func(context.Context, []LogEntry, json.RawMessage) error
}

func (a *accessLogger) Log(ctx context.Context, request *weirpb.LogRequest) (*weirpb.LogResponse, error) {
	entries := make([]LogEntry, len(request.Entries))
	for i, entry := range request.Entries {
		complete := entry.GetComplete()
		entries[i] = LogEntry{
			Info:            infoOf(entry.Info),
			Status:          int(complete.GetStatus()),
			BytesReceived:   complete.GetBytesReceived(),
			BytesSent:       complete.GetBytesSent(),
			Duration:        time.Duration(complete.GetDurationMs() * float64(time.Millisecond)),
			Flags:           complete.GetFlags(),
			StartTime:       time.UnixMilli(int64(entry.StartTimeMs)),
			Endpoint:        entry.Endpoint,
			Details:         entry.Details,
			RequestHeaders:  headersOf(entry.RequestHeaders),
			ResponseHeaders: headersOf(entry.ResponseHeaders),
			Metadata:        metadataOf(entry.Metadata),
		}
	}
	if err := a.log(ctx, entries, json.RawMessage(request.Config)); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &weirpb.LogResponse{}, nil
}

type loadBalancer struct {
	weirpb.UnimplementedLoadBalancerServer
	balance func(context.Context, []Endpoint, json.RawMessage) ([]uint32, error)
}

func (l *loadBalancer) Balance(ctx context.Context, request *weirpb.BalanceRequest) (*weirpb.BalanceResponse, error) {
	endpoints := make([]Endpoint, len(request.Endpoints))
	for i, one := range request.Endpoints {
		endpoints[i] = Endpoint{one.Name, one.Weight, one.Active, one.Chosen, json.RawMessage(one.Metadata)}
	}
	weights, err := l.balance(ctx, endpoints, json.RawMessage(request.Config))
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &weirpb.BalanceResponse{Weights: weights}, nil
}

// The filters of all entries that this process serves, by their configuration.
type filters struct {
	weirpb.UnimplementedFilterServer
	create func(json.RawMessage) (any, error)
	mutex  sync.Mutex
	made   map[string]any
}

func (f *filters) of(config string) (filter any, err error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if known, ok := f.made[config]; ok {
		return known, nil
	}
	filter, err = f.create(json.RawMessage(config))
	if err == nil {
		f.made[config] = filter
	}
	return filter, err
}

func (f *filters) Configure(_ context.Context, request *weirpb.ConfigureRequest) (*weirpb.ConfigureResponse, error) {
	filter, err := f.of(request.Config)
	if err != nil {
		return &weirpb.ConfigureResponse{Error: err.Error()}, nil
	}
	var parts []weirpb.Part
	add := func(has bool, part weirpb.Part) {
		if has {
			parts = append(parts, part)
		}
	}
	_, has := filter.(RequestHeaders)
	add(has, weirpb.Part_REQUEST_HEADERS)
	_, has = filter.(RequestBody)
	add(has, weirpb.Part_REQUEST_BODY)
	_, has = filter.(RequestTrailers)
	add(has, weirpb.Part_REQUEST_TRAILERS)
	_, has = filter.(ResponseHeaders)
	add(has, weirpb.Part_RESPONSE_HEADERS)
	_, has = filter.(ResponseBody)
	add(has, weirpb.Part_RESPONSE_BODY)
	_, has = filter.(ResponseTrailers)
	add(has, weirpb.Part_RESPONSE_TRAILERS)
	_, has = filter.(Complete)
	add(has, weirpb.Part_COMPLETE)
	return &weirpb.ConfigureResponse{Parts: parts}, nil
}

func (f *filters) Process(call weirpb.Filter_ProcessServer) (err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			fmt.Fprintln(os.Stderr, "panic in a hook:", thrown)
			err = status.Error(codes.Internal, fmt.Sprint(thrown))
		}
	}()
	s := &session{stream: &Stream{Context: call.Context()}}
	for {
		event, err := call.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if event.Start != nil {
			filter, err := f.of(event.Start.Config)
			if err != nil {
				return status.Error(codes.InvalidArgument, err.Error())
			}
			s.begin(filter, event.Start)
		}
		action, err := s.run(event)
		if err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		if action == nil {
			continue
		}
		if err := call.Send(action); err != nil {
			return err
		}
	}
}
