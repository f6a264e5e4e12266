import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;

/**
 * Asks a predictor with the JDK's HttpClient as it is by default: it prefers HTTP/2, so that the first request of each
 * connection offers h2c. Prints a line for each answer: the kind of the request, the status and the body.
 *
 * <p>java JdkClient.java http://localhost:8080 flower-sample inference-input.json
 */
public class JdkClient {
  private static final int AT_ONCE = 8;

  public static void main(String[] arguments) throws IOException, InterruptedException {
    String server = arguments[0];
    String model = arguments[1];
    String json = Files.readString(Path.of(arguments[2]));
    HttpClient client = HttpClient.newHttpClient();
    URI predict = URI.create(server + "/v1/models/" + model + ":predict");
    HttpRequest whole = post(predict, BodyPublishers.ofString(json));
    HttpRequest chunked = post(predict, BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(json.getBytes())));
    HttpRequest ready = HttpRequest.newBuilder(URI.create(server + "/v2/models/" + model + "/ready")).build();

    show("whole", client.send(whole, BodyHandlers.ofString()));
    show("again", client.send(whole, BodyHandlers.ofString()));
    show("chunked", client.send(chunked, BodyHandlers.ofString()));
    show("chunked first", HttpClient.newHttpClient().send(chunked, BodyHandlers.ofString()));
    Stream.generate(() -> client.sendAsync(whole, BodyHandlers.ofString()))
        .limit(AT_ONCE)
        .toList() // sends all requests before the first answer is awaited
        .stream()
        .map(CompletableFuture::join)
        .forEach(answer -> show("at once", answer));
    show("ready", client.send(ready, BodyHandlers.ofString()));
  }

  private static HttpRequest post(URI uri, BodyPublisher body) {
    return HttpRequest.newBuilder(uri).header("Content-Type", "application/json").POST(body).build();
  }

  private static void show(String kind, HttpResponse<String> answer) {
    System.out.println(kind + "\t" + answer.statusCode() + "\t" + answer.body());
  }
}
