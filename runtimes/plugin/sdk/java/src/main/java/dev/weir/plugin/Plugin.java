package dev.weir.plugin;

import com.google.gson.JsonElement;
import com.google.gson.JsonParser;
import com.google.protobuf.Message;
import dev.weir.plugin.v1.Action;
import dev.weir.plugin.v1.BalanceRequest;
import dev.weir.plugin.v1.BalanceResponse;
import dev.weir.plugin.v1.CertificateRequest;
import dev.weir.plugin.v1.CertificateResponse;
import dev.weir.plugin.v1.ConfigureRequest;
import dev.weir.plugin.v1.ConfigureResponse;
import dev.weir.plugin.v1.Endpoint;
import dev.weir.plugin.v1.Event;
import dev.weir.plugin.v1.LogEntry;
import dev.weir.plugin.v1.LogRequest;
import dev.weir.plugin.v1.LogResponse;
import dev.weir.plugin.v1.Part;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollServerDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.unix.DomainSocketAddress;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/**
 * The process of a plugin: {@code new Plugin().filter(Auth::new).serve()}. It prints the handshake, serves Weir's protocol and health
 * checks, and ends when Weir does.
 */
public final class Plugin {
  /** Makes the filter of an entry from its {@code config:}. What it throws refuses the configuration. */
  public interface FilterFactory {
    Filter create(JsonElement config) throws Exception;
  }

  /** Gives the certificate for a name ("" for clients that ask for none), or {@code null}. */
  public interface CertificateProvider {
    Certificate provide(String serverName, String listener, JsonElement config) throws Exception;
  }

  /** Takes streams that have ended, several at a time. */
  public interface AccessLog {
    void log(List<LogEntry> entries, JsonElement config) throws Exception;
  }

  /** Gives the share of each endpoint, every second; 0: none. */
  public interface LoadBalancer {
    List<Integer> balance(List<Endpoint> endpoints, JsonElement config) throws Exception;
  }

  private static final String PACKAGE = "weir.plugin.v1.";
  private static final byte[] SERVING = {8, 1};
  /** Each part and the name of its method. */
  private static final Map<Part, String> PARTS =
      Map.of(
          Part.REQUEST_HEADERS, "onRequestHeaders",
          Part.REQUEST_BODY, "onRequestBody",
          Part.REQUEST_TRAILERS, "onRequestTrailers",
          Part.RESPONSE_HEADERS, "onResponseHeaders",
          Part.RESPONSE_BODY, "onResponseBody",
          Part.RESPONSE_TRAILERS, "onResponseTrailers",
          Part.COMPLETE, "onComplete");

  private final List<ServerServiceDefinition> services = new ArrayList<>();

  /** Serves filters. */
  public Plugin filter(FilterFactory factory) {
    Map<String, Filter> filters = new ConcurrentHashMap<>();
    var configure =
        method("Filter", "Configure", MethodDescriptor.MethodType.UNARY, ConfigureRequest.getDefaultInstance(), ConfigureResponse.getDefaultInstance());
    var process =
        method("Filter", "Process", MethodDescriptor.MethodType.BIDI_STREAMING, Event.getDefaultInstance(), Action.getDefaultInstance());
    services.add(
        ServerServiceDefinition.builder(PACKAGE + "Filter")
            .addMethod(
                configure,
                ServerCalls.asyncUnaryCall(
                    (ConfigureRequest request, StreamObserver<ConfigureResponse> answer) -> {
                      var response = ConfigureResponse.newBuilder();
                      try {
                        response.addAllParts(partsOf(filterOf(filters, factory, request.getConfig())));
                      } catch (Exception error) {
                        response.setError(text(error));
                      }
                      answer.onNext(response.build());
                      answer.onCompleted();
                    }))
            .addMethod(
                process,
                ServerCalls.asyncBidiStreamingCall(
                    (StreamObserver<Action> answers) -> new Events(answers, config -> filterOf(filters, factory, config))))
            .build());
    return this;
  }

  /** Serves certificates. */
  public Plugin certificates(CertificateProvider provider) {
    return unary(
        "CertificateProvider",
        "Provide",
        CertificateRequest.getDefaultInstance(),
        CertificateResponse.getDefaultInstance(),
        request -> {
          var given =
              provider.provide(request.getServerName(), request.getListener(), JsonParser.parseString(request.getConfig()));
          var response = CertificateResponse.newBuilder();
          if (given != null) response.setChain(given.chain()).setKey(given.key()).setCa(given.ca());
          return response.build();
        });
  }

  /** Serves access logs; an entry is the protocol's own message. */
  public Plugin accessLog(AccessLog log) {
    return unary(
        "AccessLogger",
        "Log",
        LogRequest.getDefaultInstance(),
        LogResponse.getDefaultInstance(),
        request -> {
          log.log(request.getEntriesList(), JsonParser.parseString(request.getConfig()));
          return LogResponse.getDefaultInstance();
        });
  }

  /** Serves load balancing; an endpoint is the protocol's own message. */
  public Plugin loadBalancer(LoadBalancer balancer) {
    return unary(
        "LoadBalancer",
        "Balance",
        BalanceRequest.getDefaultInstance(),
        BalanceResponse.getDefaultInstance(),
        request ->
            BalanceResponse.newBuilder()
                .addAllWeights(balancer.balance(request.getEndpointsList(), JsonParser.parseString(request.getConfig())))
                .build());
  }

  private interface Answer<Q, A> {
    A to(Q request) throws Exception;
  }

  /** Serves a service of one unary method. */
  private <Q extends Message, A extends Message> Plugin unary(
      String service, String name, Q request, A response, Answer<Q, A> answer) {
    var method = method(service, name, MethodDescriptor.MethodType.UNARY, request, response);
    services.add(
        ServerServiceDefinition.builder(PACKAGE + service)
            .addMethod(
                method,
                ServerCalls.asyncUnaryCall(
                    (Q given, StreamObserver<A> observer) -> {
                      try {
                        observer.onNext(answer.to(given));
                        observer.onCompleted();
                      } catch (Exception error) {
                        observer.onError(Status.INTERNAL.withDescription(text(error)).asException());
                      }
                    }))
            .build());
    return this;
  }

  /** Runs the plugin until Weir ends it. Nothing may be written to standard output before. */
  public void serve() throws Exception {
    if (!"1".equals(System.getenv("WEIR_PLUGIN")) && !"ON".equals(System.getenv("MOSN_PLUGIN"))) {
      System.err.println("this program is a plugin: name it in a configuration of Weir, with `runtime: plugin`");
      System.exit(1);
    }
    String base = System.getenv("TMPDIR");
    Path folder = Files.createTempDirectory(Path.of(base == null ? "/tmp" : base), "plugin-");
    Path socket = folder.resolve("socket");
    var builder =
        NettyServerBuilder.forAddress(new DomainSocketAddress(socket.toFile()))
            .channelType(EpollServerDomainSocketChannel.class)
            .bossEventLoopGroup(new EpollEventLoopGroup(1))
            .workerEventLoopGroup(new EpollEventLoopGroup())
            .maxInboundMessageSize(Integer.MAX_VALUE)
            .addService(raw("grpc.health.v1.Health", "Check", () -> SERVING));
    for (var service : services) builder.addService(service);
    var server = new Server[1];
    builder.addService(
        raw(
            "plugin.GRPCController",
            "Shutdown",
            () -> {
              server[0].shutdown();
              return new byte[0];
            }));
    server[0] = builder.build().start();
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  server[0].shutdown();
                  try {
                    server[0].awaitTermination(5, TimeUnit.SECONDS);
                    Files.deleteIfExists(socket);
                    Files.deleteIfExists(folder);
                  } catch (Exception ignored) {
                    // The process ends all the same.
                  }
                }));
    Thread parent = new Thread(Plugin::waitForParent);
    parent.setDaemon(true);
    parent.start();
    System.out.println("1|1|unix|" + socket + "|grpc");
    server[0].awaitTermination();
    System.exit(0);
  }

  /** Weir holds the other end of standard input; where another program started this one, the parent's number tells. */
  private static void waitForParent() {
    try {
      if ("1".equals(System.getenv("WEIR_PLUGIN"))) {
        while (System.in.read() >= 0) {}
      } else {
        var parent = ProcessHandle.current().parent();
        while (ProcessHandle.current().parent().equals(parent)) Thread.sleep(1000);
      }
    } catch (Exception ignored) {
      // Then it is gone.
    }
    System.exit(0);
  }

  private static Filter filterOf(Map<String, Filter> filters, FilterFactory factory, String config) throws Exception {
    Filter known = filters.get(config);
    if (known == null) {
      known = factory.create(JsonParser.parseString(config));
      filters.put(config, known);
    }
    return known;
  }

  private static List<Part> partsOf(Filter filter) {
    List<Part> parts = new ArrayList<>();
    for (var method : filter.getClass().getMethods()) {
      if (method.getDeclaringClass() == Filter.class) continue;
      PARTS.forEach(
          (part, name) -> {
            if (method.getName().equals(name) && !parts.contains(part)) parts.add(part);
          });
    }
    return parts;
  }

  private static <Q extends Message, A extends Message> MethodDescriptor<Q, A> method(
      String service, String name, MethodDescriptor.MethodType type, Q request, A answer) {
    return MethodDescriptor.<Q, A>newBuilder()
        .setType(type)
        .setFullMethodName(PACKAGE + service + "/" + name)
        .setRequestMarshaller(ProtoUtils.marshaller(request))
        .setResponseMarshaller(ProtoUtils.marshaller(answer))
        .build();
  }

  private interface RawAnswer {
    byte[] get();
  }

  /** A service of one method whose messages do not matter. */
  private static ServerServiceDefinition raw(String service, String name, RawAnswer answer) {
    var bytes =
        new MethodDescriptor.Marshaller<byte[]>() {
          @Override
          public InputStream stream(byte[] value) {
            return new ByteArrayInputStream(value);
          }

          @Override
          public byte[] parse(InputStream stream) {
            return new byte[0];
          }
        };
    var method =
        MethodDescriptor.<byte[], byte[]>newBuilder()
            .setType(MethodDescriptor.MethodType.UNARY)
            .setFullMethodName(service + "/" + name)
            .setRequestMarshaller(bytes)
            .setResponseMarshaller(bytes)
            .build();
    return ServerServiceDefinition.builder(service)
        .addMethod(
            method,
            ServerCalls.asyncUnaryCall(
                (byte[] request, StreamObserver<byte[]> observer) -> {
                  observer.onNext(answer.get());
                  observer.onCompleted();
                }))
        .build();
  }

  private static String text(Exception error) {
    return error.getMessage() == null ? error.toString() : error.getMessage();
  }

  /** The events of one stream; gRPC calls it one at a time. */
  private static final class Events implements StreamObserver<Event> {
    private final StreamObserver<Action> answers;
    private final FilterSource filters;
    private Session session;
    private boolean failed;

    interface FilterSource {
      Filter of(String config) throws Exception;
    }

    Events(StreamObserver<Action> answers, FilterSource filters) {
      this.answers = answers;
      this.filters = filters;
    }

    @Override
    public void onNext(Event event) {
      if (failed) return;
      try {
        if (event.hasStart()) session = new Session(filters.of(event.getStart().getConfig()), event.getStart());
        Action action = session.run(event);
        if (action != null) answers.onNext(action);
      } catch (Exception error) {
        failed = true;
        error.printStackTrace();
        answers.onError(Status.INTERNAL.withDescription(text(error)).asException());
      }
    }

    @Override
    public void onError(Throwable error) {}

    @Override
    public void onCompleted() {
      if (!failed) answers.onCompleted();
    }
  }
}
