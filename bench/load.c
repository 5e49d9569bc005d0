/* A load generator that costs a few microseconds a request, so that what is measured is the server.
 *
 *     load PORT CONNECTIONS SECONDS RATE FIRST REQUEST-FILE
 *
 * Sends the bytes of the file over and over on keep-alive connections to 127.0.0.1. Twelve '@' in a row are replaced by
 * a number that is new in each request, from FIRST on. RATE 0: each connection sends as soon as it has its answer
 * (closed loop). Otherwise requests are due at that rate whatever the server does (open loop), and a latency counts
 * from the time at which its request was due.
 *
 * Prints one line `requests refused seconds cpu_seconds`, and one with the latencies in microseconds. An answer that is
 * not 2xx is refused. Ends with an error where the server closes a connection or sends what is no answer.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { NUMBER_DIGITS = 12, ANSWER_MAX = 1 << 20, CONNECTIONS_MAX = 256, LATENCIES_MAX = 4000000 };

struct connection {
    int socket, is_busy;
    double due;
    size_t received, expected; /* expected: 0 until the headers have come */
    char answer[ANSWER_MAX];
};

static struct connection connections[CONNECTIONS_MAX];
static unsigned latencies[LATENCIES_MAX];
static long answered, refused;
static char request[1 << 16], *number_at;
static size_t request_length;
static long long next_number;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_request(struct connection *connection, double due) {
    char digits[NUMBER_DIGITS + 1];
    if (number_at) {
        snprintf(digits, sizeof digits, "%0*lld", NUMBER_DIGITS, next_number++);
        memcpy(number_at, digits, NUMBER_DIGITS);
    }
    /* A request fits into an empty socket buffer. */
    if (send(connection->socket, request, request_length, MSG_NOSIGNAL) != (ssize_t)request_length) fail("send");
    connection->is_busy = 1;
    connection->due = due;
    connection->received = connection->expected = 0;
}

static void read_headers(struct connection *connection) {
    char *end = strstr(connection->answer, "\r\n\r\n"), *length;
    if (!end) return;
    length = strcasestr(connection->answer, "\r\nContent-Length:");
    if (!length || length > end) { errno = EPROTO; fail("an answer without Content-Length"); }
    connection->expected = end + 4 - connection->answer + strtoul(length + 17, NULL, 10);
    if (connection->expected >= ANSWER_MAX) { errno = EMSGSIZE; fail("answer"); }
}

/* Return whether the answer is complete. */
static int receive(struct connection *connection) {
    ssize_t got = recv(connection->socket, connection->answer + connection->received,
                       ANSWER_MAX - 1 - connection->received, 0);
    if (got <= 0) fail("the server closed a connection");
    connection->received += got;
    connection->answer[connection->received] = '\0';
    if (!connection->expected) read_headers(connection);
    if (!connection->expected || connection->received < connection->expected) return 0;
    if (connection->answer[9] != '2' && !refused++) fprintf(stderr, "load: %.300s\n", connection->answer);
    if (answered < LATENCIES_MAX) latencies[answered++] = (unsigned)((now() - connection->due) * 1e6);
    connection->is_busy = 0;
    return 1;
}

static void read_request(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    request_length = fread(request, 1, sizeof request - 1, file);
    fclose(file);
    number_at = memmem(request, request_length, "@@@@@@@@@@@@", NUMBER_DIGITS);
}

static void open_connections(int epoll, int port, int count) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        connections[i].socket = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(connections[i].socket, (struct sockaddr *)&address, sizeof address)) fail("connect");
        setsockopt(connections[i].socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].socket, &event);
    }
}

static struct connection *idle_one(int count) {
    for (int i = 0; i < count; i++)
        if (!connections[i].is_busy) return &connections[i];
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 7) { fprintf(stderr, "load PORT CONNECTIONS SECONDS RATE FIRST REQUEST-FILE\n"); return 2; }
    int count = atoi(argv[2]), epoll = epoll_create1(0), busy = 0;
    double seconds = atof(argv[3]), rate = atof(argv[4]);
    struct epoll_event events[CONNECTIONS_MAX];
    struct connection *idle;
    struct rusage usage;
    next_number = atoll(argv[5]);
    read_request(argv[6]);
    open_connections(epoll, atoi(argv[1]), count);

    double began = now(), ends = began + seconds, due = began;
    if (!rate)
        for (; busy < count; busy++) send_request(&connections[busy], now());
    while (busy || (rate && due < ends)) {
        int wait_ms = -1;
        if (rate && due < ends) {
            /* What is due waits for a free connection; the wait counts. */
            while (due < ends && due <= now() && (idle = idle_one(count))) {
                send_request(idle, due);
                busy++;
                due += 1 / rate;
            }
            if (idle_one(count)) wait_ms = due > now() ? (int)((due - now()) * 1e3) + 1 : 0;
        }
        int ready = epoll_wait(epoll, events, CONNECTIONS_MAX, wait_ms);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!receive(connection)) continue;
            if (!rate && now() < ends) send_request(connection, now());
            else busy--;
        }
    }
    getrusage(RUSAGE_SELF, &usage);
    printf("%ld %ld %f %f\n", answered, refused, now() - began,
           usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6);
    for (long i = 0; i < answered; i++) printf("%u ", latencies[i]);
    printf("\n");
    return 0;
}
