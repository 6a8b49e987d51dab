/* SPDX-License-Identifier: Apache-2.0
 *
 * net_pfgen: a measuring port for DPDK 22.11.
 *
 * Receiving from it yields varied, valid, checksummed frames of many flows; sending to it frees the frames. It counts
 * the TSC cycles spent inside itself and outside (= in the application), for each polling thread, and prints for each
 * window:
 *
 *   PFGEN thread= phase=open|steady seconds= rx_mpps= tx_mpps= total= driver_rx= driver_tx= app= burst= app_p10=
 * app_p50= app_p90= away_us=
 *
 * total, driver_*, app*: TSC cycles a received packet. app_pXX are percentiles over bursts of at least `burst` packets,
 * so a preempted burst does not move them. away_us is the longest time the application did not come back. On stop each port prints "PFGEN port= generated= sent= missing_mbufs=
 * classN=g/s".
 *
 * Because the driver is loaded into any DPDK program (LD_PRELOAD; EAL refuses -d from folders others may write to), the
 * same generator and the same clock measure our data plane, the floor program and DPDK's samples.
 *
 * Devices and conversations. A flow has a forward and a reverse direction. Port arguments (--vdev
 * net_pfgen0,key=value,...): side=forward|reverse|both  what this port emits; ports of the same pair= form one
 * conversation (default forward) pair=N                     0..7 (default 0); both ports must be given the same flow
 * arguments handshake=0|1   1: flows are opened before the steady phase, `block` at a time: TCP SYN forward, SYN-ACK
 * reverse, ACK forward; UDP one packet forward. Each step waits until the application came back for more. reply=0|1 1:
 * the reverse side also talks in the steady phase (default 1) fresh=0|1       1: every packet opens a new flow (TCP:
 * SYN), up to 2^(sbits+15+dbits) flows limit=N         stop after N packets (default 0: never) Frames: flows=N
 * size=BYTES(without FCS) proto=17|6 ip6=0|1 src= dst= (base addresses) sbits= dbits= (low bits that vary, <= 24)
 *   dport= dports=(power of two: flow i goes to dport + i % dports) train=(packets of a flow in a row)
 *   mac=(the port's own, default destination) smac= dmac= vlan= vlans=(flow i uses tag vlan + i % vlans) ivlan=
 * svlan=0|1 rsmac= rvlan=   source MAC and tag of the reverse direction when side=both (else each port has its own
 * smac, vlan) trusted=0|1     1: checksums are flagged good as a NIC does (default 1) rss=0|1         1: frames carry a
 * symmetric RSS hash (default 1); flow i arrives on queue i % queues file=X.pcap     replay these frames instead
 * (packed in memory) Measuring: burst=N (default 32) winms=N maxburst=N rate=PPS(0: as fast as asked) classes=0|1
 * (count frames by dport) txdump=X.pcap ndump=N
 *
 * Thread: queue n of both ports of a pair must be polled by one thread.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bus_vdev_driver.h>
#include <ethdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_kvargs.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_memcpy.h>

enum {
  QUEUES_MAX = 16,
  PAIRS_MAX = 8,
  CLASSES_MAX = 8,
  FRAME_MAX = 9728,
  TEMPLATE_BYTES = 128,   /* headers are copied from the template in 64-byte moves */
  HISTOGRAM_BINS = 32768, /* of 1/8 cycle: up to 4096 cycles a packet */
  BINS_PER_CYCLE = 8,
  SETTLE_POLLS = 4, /* empty polls after which everything handed out has surely been processed */
  ROUND_PACKETS_MIN = 4096,
  TCP_WINDOW = 65535,
  GOLDEN = 0x9E3779B1,
};

enum direction { FORWARD = 0, REVERSE = 1 };
enum side { SIDE_FORWARD, SIDE_REVERSE, SIDE_BOTH };
enum stage { STAGE_OPEN, STAGE_REPLY, STAGE_CONFIRM, STAGE_STEADY };
enum tcp_flags { TCP_SYN = 2, TCP_PSH = 8, TCP_ACK = 16 };

/* Walks a queue's flows: every flow once a pass, in golden-ratio steps so that no cache or prefetcher sees an order. */
struct cursor {
  uint32_t position, visited, flows, step, train_left;
};

/* Where one direction of one queue stands in TCP sequence space, in steps of one payload. All flows move together: a
 * step begins when a round (at least ROUND_PACKETS_MIN packets, whole passes) is over. */
struct sequence {
  uint32_t step;   /* sent in the current round */
  uint32_t sent;   /* step of the last round whose every packet has been processed */
  uint32_t acking; /* peer's step acknowledged in the current round */
  uint32_t acked;  /* our step that every flow of the peer has acknowledged */
  uint32_t packets_in_round;
};

/* What the two ports of a pair share, per queue. */
struct conversation_queue {
  enum stage stage;
  uint32_t block_first, block_next, block_end, settle;
  struct sequence sequence[2];
} __rte_cache_aligned;

struct conversation {
  int has[2]; /* some port emits this direction */
  struct conversation_queue queues[QUEUES_MAX];
};

/* Frame with everything constant filled in, and the checksum sums of what is constant. */
struct template_frame {
  uint8_t bytes[TEMPLATE_BYTES];
  uint16_t l3, l4, length, l4_payload;
  uint32_t ip_sum, l4_sum;
} __rte_cache_aligned;

struct port;
struct rx_queue {
  struct port* port;
  struct rte_mempool* pool;
  uint16_t id;
  enum direction turn; /* side=both: whose burst is next */
  struct cursor cursor[2];
  uint64_t next_fresh, next_tsc, generated, missing;
  uint32_t next_replayed;
  uint64_t by_class[CLASSES_MAX];
} __rte_cache_aligned;

struct tx_queue {
  struct port* port;
  uint64_t sent, bytes, by_class[CLASSES_MAX];
} __rte_cache_aligned;

struct port {
  /* arguments */
  uint32_t flows, size, proto, ip6, sbits, dbits, dport, dports, train, winms, rss, maxburst, burst, handshake, reply,
      fresh;
  uint32_t pair, block, vlan, vlans, ivlan, svlan, rvlan, trusted, classes, ndump;
  uint64_t rate, limit;
  enum side side;
  struct in6_addr source, destination; /* IPv4 in the last four bytes */
  struct rte_ether_addr mac, smac, dmac, rsmac;
  char file[256], txdump[256];
  /* derived */
  uint16_t id;
  uint32_t source_low, destination_low, queue_count;
  struct conversation* conversation;
  struct template_frame steady[2], opening[2]; /* opening: TCP SYN and SYN-ACK with their options */
  uint8_t* payload;
  FILE* dump_file;
  uint8_t* replay;
  uint16_t* replay_length;
  uint32_t replay_count, replay_stride;
  struct rx_queue rx[QUEUES_MAX];
  struct tx_queue tx[QUEUES_MAX];
};

/* Cycle accounts of one polling thread, over all the ports it polls. */
struct account {
  int started, id, steady;
  uint64_t last;     /* TSC when the driver was last left */
  uint64_t since_rx; /* application cycles since the last receive call */
  uint64_t away;     /* the most of it in this window */
  uint16_t last_burst;
  uint64_t app, driver_rx, driver_tx, received, sent, bursts, samples;
  uint64_t window_start, window_cycles;
  uint32_t histogram[HISTOGRAM_BINS];
};
static __thread struct account t_account;
static int g_threads;
static struct conversation g_conversations[PAIRS_MAX];

/* ---- accounts ---------------------------------------------------------------------------------------------------- */

static double percentile(const struct account* a, uint64_t percent) {
  uint64_t seen = 0;
  for (uint32_t bin = 0; bin < HISTOGRAM_BINS && a->samples; bin++) {
    seen += a->histogram[bin];
    if (seen * 100 >= a->samples * percent) return (double)bin / BINS_PER_CYCLE;
  }
  return -1;
}

static void close_window(struct account* a, uint64_t now) {
  double seconds = (double)(now - a->window_start) / (double)rte_get_tsc_hz();
  double packets = (double)(a->received ? a->received : a->sent);
  if (packets > 0)
    fprintf(stderr,
            "PFGEN thread=%d phase=%s seconds=%.3f rx_mpps=%.3f tx_mpps=%.3f total=%.1f driver_rx=%.1f driver_tx=%.1f "
            "app=%.1f "
            "burst=%.1f app_p10=%.1f app_p50=%.1f app_p90=%.1f away_us=%.1f\n",
            a->id, a->steady ? "steady" : "open", seconds, (double)a->received / seconds / 1e6,
            (double)a->sent / seconds / 1e6, (double)(now - a->window_start) / packets, (double)a->driver_rx / packets,
            (double)a->driver_tx / packets, (double)a->app / packets,
            a->bursts ? (double)a->received / (double)a->bursts : 0.0, percentile(a, 10), percentile(a, 50),
            percentile(a, 90), (double)a->away * 1e6 / (double)rte_get_tsc_hz());
  memset(a->histogram, 0, sizeof a->histogram);
  a->away = a->samples = a->received = a->sent = a->bursts = a->app = a->driver_rx = a->driver_tx = 0;
  a->window_start = rte_rdtsc();
}

/* Charges the application for the time since the driver was left; returns the time the driver was entered. */
static inline uint64_t enter_driver(struct account* a) {
  uint64_t now = rte_rdtsc();
  if (likely(a->started)) {
    a->app += now - a->last;
    a->since_rx += now - a->last;
  }
  return now;
}

static void start_account(struct account* a, const struct port* port, uint64_t now) {
  a->started = 1;
  a->id = __atomic_fetch_add(&g_threads, 1, __ATOMIC_RELAXED);
  a->steady = !port->handshake;
  a->window_cycles = rte_get_tsc_hz() / 1000 * port->winms;
  a->window_start = a->last = now;
}

/* The application has come back for packets: what it did since the previous receive was the work of that burst. */
static inline void close_burst(struct account* a, const struct port* port) {
  if (a->since_rx > a->away) a->away = a->since_rx;
  if (a->last_burst >= port->burst) {
    uint64_t bin = a->since_rx * BINS_PER_CYCLE / a->last_burst;
    a->histogram[bin < HISTOGRAM_BINS ? bin : HISTOGRAM_BINS - 1]++;
    a->samples++;
  }
  a->since_rx = 0;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static inline uint16_t fold(uint32_t sum) {
  sum = (sum >> 16) + (sum & 0xffff);
  sum += sum >> 16;
  return (uint16_t)~sum;
}

static inline void put16(uint8_t* at, uint32_t value) {
  uint16_t wire = rte_cpu_to_be_16((uint16_t)value);
  memcpy(at, &wire, 2);
}

static inline void put32(uint8_t* at, uint32_t value) {
  uint32_t wire = rte_cpu_to_be_32(value);
  memcpy(at, &wire, 4);
}

static inline uint32_t halves(uint32_t value) {
  return (value >> 16) + (value & 0xffff);
}

static uint32_t sum_bytes(const uint8_t* bytes, uint32_t length) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < length; i++) sum += i & 1 ? bytes[i] : (uint32_t)bytes[i] << 8;
  while (sum >> 16) sum = (sum >> 16) + (sum & 0xffff);
  return sum;
}

/* What tells one flow from another. */
struct flow {
  uint32_t source, destination; /* low 32 bits of the addresses */
  uint32_t sport, dport, tag, hash;
};

static inline struct flow flow_of(const struct port* port, uint32_t index) {
  uint32_t hash = index * (uint32_t)GOLDEN;
  return (struct flow){
      .source = port->source_low + (index & ((1u << port->sbits) - 1)),
      .destination = port->destination_low + (port->dbits ? hash >> (32 - port->dbits) : 0),
      .sport = 1024 + ((hash ^ (index >> port->sbits)) & 0x7fff),
      .dport = port->dport + (index & (port->dports - 1)),
      .tag = port->vlans > 1 ? index % port->vlans : 0,
      .hash = hash,
  };
}

/* Flow number `index` of fresh mode: an odd multiplier permutes the numbers, so no flow comes twice before all have
 * come. */
static inline struct flow fresh_flow_of(const struct port* port, uint64_t index) {
  uint64_t number = index * 0x9E3779B97F4A7C15ull & ((1ull << (port->sbits + 15 + port->dbits)) - 1);
  uint32_t source_bits = (uint32_t)number & ((1u << port->sbits) - 1);
  uint32_t class = (uint32_t)index & (port->dports - 1);
  return (struct flow){
      .source = port->source_low + source_bits,
      .destination = port->destination_low + (uint32_t)(number >> (port->sbits + 15)),
      .sport = 1024 + ((uint32_t)(number >> port->sbits) & 0x7fff),
      .dport = port->dport + class,
      .tag = port->vlans > 1 ? source_bits % port->vlans : 0,
      .hash = (uint32_t)index * (uint32_t)GOLDEN,
  };
}

static uint32_t first_sequence(uint32_t hash, enum direction direction) {
  return hash ^ (direction ? 0x5bd1e995u : 0u);
}

struct tcp_fields {
  uint32_t sequence, acknowledgement, flags;
};

static inline struct tcp_fields tcp_fields_of(const struct template_frame* frame, const struct sequence* sequence,
                                              uint32_t hash, enum stage stage, enum direction direction) {
  uint32_t own = first_sequence(hash, direction), other = first_sequence(hash, !direction);
  switch (stage) {
    case STAGE_OPEN:
      return (struct tcp_fields){own, 0, TCP_SYN};
    case STAGE_REPLY:
      return (struct tcp_fields){own, other + 1, TCP_SYN | TCP_ACK};
    case STAGE_CONFIRM:
      return (struct tcp_fields){own + 1, other + 1, TCP_ACK};
    case STAGE_STEADY:
      break;
  }
  uint32_t flags = frame->l4_payload ? TCP_ACK | TCP_PSH : TCP_ACK;
  return (struct tcp_fields){own + 1 + sequence->step * frame->l4_payload,
                             other + 1 + sequence->acking * frame->l4_payload, flags};
}

/* Writes one frame of a flow into the mbuf. The copy of the template is the whole work but for eight fields. */
static inline void write_frame(struct port* port, const struct template_frame* frame, struct rte_mbuf* mbuf,
                               const struct flow* flow, enum direction direction, const struct tcp_fields* tcp) {
  uint8_t* at = rte_pktmbuf_mtod(mbuf, uint8_t*);
  uint32_t source = direction ? flow->destination : flow->source,
           destination = direction ? flow->source : flow->destination;
  uint32_t sport = direction ? flow->dport : flow->sport, dport = direction ? flow->sport : flow->dport;
  rte_mov64(at, frame->bytes);
  if (frame->length > 64) rte_mov64(at + 64, frame->bytes + 64);
  if (frame->length > TEMPLATE_BYTES)
    rte_memcpy(at + TEMPLATE_BYTES, port->payload + TEMPLATE_BYTES, frame->length - TEMPLATE_BYTES);
  if (flow->tag) put16(at + 14, (direction && port->side == SIDE_BOTH ? port->rvlan : port->vlan) + flow->tag);

  uint8_t *l3 = at + frame->l3, *l4 = at + frame->l4;
  uint32_t address_sum = halves(source) + halves(destination);
  if (port->ip6) {
    put32(l3 + 20, source);
    put32(l3 + 36, destination);
  } else {
    put32(l3 + 12, source);
    put32(l3 + 16, destination);
    put16(l3 + 10, fold(frame->ip_sum + address_sum));
  }
  put16(l4, sport);
  put16(l4 + 2, dport);
  uint32_t sum = frame->l4_sum + address_sum + sport + dport;
  if (tcp) {
    put32(l4 + 4, tcp->sequence);
    put32(l4 + 8, tcp->acknowledgement);
    l4[13] = (uint8_t)tcp->flags;
    put16(l4 + 16, fold(sum + halves(tcp->sequence) + halves(tcp->acknowledgement) + tcp->flags));
  } else {
    uint16_t checksum = fold(sum);
    put16(l4 + 6, checksum ? checksum : 0xffff);
  }

  mbuf->data_len = frame->length;
  mbuf->pkt_len = frame->length;
  mbuf->port = port->id;
  mbuf->packet_type = RTE_PTYPE_L2_ETHER | (port->ip6 ? RTE_PTYPE_L3_IPV6 : RTE_PTYPE_L3_IPV4) |
                      (tcp ? RTE_PTYPE_L4_TCP : RTE_PTYPE_L4_UDP);
  mbuf->ol_flags = port->trusted ? RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD : 0;
  if (port->rss) {
    mbuf->hash.rss = flow->hash;
    mbuf->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
  }
}

static uint16_t append_tag(uint8_t* at, uint16_t offset, uint16_t ethertype, uint32_t vlan) {
  put16(at + offset, ethertype);
  put16(at + offset + 2, vlan);
  return (uint16_t)(offset + 4);
}

/* Fills a template: what every frame of this direction has in common. An opening TCP frame has options and no payload.
 */
static void fill_template(const struct port* port, struct template_frame* frame, enum direction direction,
                          int opening) {
  static const uint8_t syn_options[8] = {2, 4, 5, 0xb4, 1, 3, 3, 7}; /* MSS 1460, NOP, window scale 7 */
  int reversed_here = direction == REVERSE && port->side == SIDE_BOTH;
  uint32_t vlan = reversed_here ? port->rvlan : port->vlan;
  uint8_t* at = frame->bytes;
  memset(frame, 0, sizeof *frame);
  memcpy(at, &port->dmac, 6);
  memcpy(at + 6, reversed_here ? &port->rsmac : &port->smac, 6);
  uint16_t offset = 12;
  if (vlan) offset = append_tag(at, offset, port->svlan ? RTE_ETHER_TYPE_QINQ : RTE_ETHER_TYPE_VLAN, vlan);
  if (vlan && port->ivlan) offset = append_tag(at, offset, RTE_ETHER_TYPE_VLAN, port->ivlan);
  put16(at + offset, port->ip6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
  frame->l3 = (uint16_t)(offset + 2);
  frame->l4 = (uint16_t)(frame->l3 + (port->ip6 ? 40 : 20));
  int tcp = port->proto == IPPROTO_TCP;
  uint16_t options = tcp && opening ? sizeof syn_options : 0;
  uint16_t l4_header = (uint16_t)(tcp ? 20 + options : 8);
  frame->length = (uint16_t)(frame->l4 + l4_header);
  if (!options) frame->length = (uint16_t)RTE_MAX(port->size, (uint32_t)frame->length);
  frame->l4_payload = (uint16_t)(frame->length - frame->l4 - l4_header);
  uint16_t l4_length = (uint16_t)(frame->length - frame->l4);

  uint8_t *l3 = at + frame->l3, *l4 = at + frame->l4;
  const struct in6_addr* source = direction ? &port->destination : &port->source;
  const struct in6_addr* destination = direction ? &port->source : &port->destination;
  if (port->ip6) {
    l3[0] = 0x60;
    put16(l3 + 4, l4_length);
    l3[6] = (uint8_t)port->proto;
    l3[7] = 64;
    memcpy(l3 + 8, source, 12);
    memcpy(l3 + 24, destination, 12);
  } else {
    l3[0] = 0x45;
    put16(l3 + 2, 20u + l4_length);
    l3[6] = 0x40; /* don't fragment */
    l3[8] = 64;
    l3[9] = (uint8_t)port->proto;
    frame->ip_sum = sum_bytes(l3, 20);
  }
  if (tcp) {
    l4[12] = (uint8_t)(l4_header / 4 << 4);
    put16(l4 + 14, TCP_WINDOW);
    memcpy(l4 + 20, syn_options, options);
  } else {
    put16(l4 + 4, l4_length);
  }
  for (uint32_t i = (uint32_t)frame->l4 + l4_header; i < RTE_MIN(frame->length, (uint16_t)TEMPLATE_BYTES); i++)
    at[i] = port->payload[i];
  frame->l4_sum =
      sum_bytes(l4, (uint32_t)RTE_MIN(frame->length, (uint16_t)TEMPLATE_BYTES) - frame->l4) + port->proto + l4_length;
  if (port->ip6) frame->l4_sum += sum_bytes(l3 + 8, 12) + sum_bytes(l3 + 24, 12);
  if (frame->length > TEMPLATE_BYTES) {
    /* every header length here is even, so the tail starts on an even byte of the checksum when l4 does */
    uint32_t tail = sum_bytes(port->payload + TEMPLATE_BYTES, (uint32_t)frame->length - TEMPLATE_BYTES);
    frame->l4_sum += tail;
  }
}

/* ---- order of flows ---------------------------------------------------------------------------------------------- */

static uint32_t greatest_common_divisor(uint32_t a, uint32_t b) {
  while (b) {
    uint32_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

static void start_cursor(struct cursor* cursor, uint32_t flows, uint32_t train) {
  *cursor = (struct cursor){.flows = flows ? flows : 1, .train_left = train};
  if (cursor->flows < 3) {
    cursor->step = cursor->flows - 1;
    return;
  }
  cursor->step = (uint32_t)(cursor->flows * 0.6180339887) | 1;
  while (greatest_common_divisor(cursor->step, cursor->flows) != 1) cursor->step += 2;
  if (cursor->step >= cursor->flows) cursor->step = 1;
}

/* Goes on to the next flow; true when a pass over all flows has just ended. */
static inline int advance_cursor(struct cursor* cursor, uint32_t train) {
  if (--cursor->train_left) return 0;
  cursor->train_left = train;
  cursor->position += cursor->step;
  if (cursor->position >= cursor->flows) cursor->position -= cursor->flows;
  if (++cursor->visited < cursor->flows) return 0;
  cursor->visited = 0;
  return 1;
}

/* A pass of a direction is over: perhaps the round too. Sequence numbers only move as far as the peer's
 * acknowledgements leave room in the window, and acknowledge only what has surely been seen: every packet stays valid
 * for a strict tracker. */
static void end_pass(const struct port* port, struct conversation_queue* queue, enum direction direction) {
  struct sequence *own = &queue->sequence[direction], *peer = &queue->sequence[!direction];
  uint32_t payload = port->steady[direction].l4_payload;
  own->packets_in_round += port->rx[0].cursor[direction].flows * port->train;
  if (own->packets_in_round < ROUND_PACKETS_MIN || port->proto != IPPROTO_TCP || payload == 0) return;
  own->packets_in_round = 0;
  peer->acked = own->acking;
  own->acking = peer->sent;
  own->sent = own->step ? own->step - 1 : 0;
  if (own->step + 1 - own->acked < (TCP_WINDOW / 2) / payload) own->step++;
}

/* ---- conversations ----------------------------------------------------------------------------------------------- */

static enum direction speaker_of(enum stage stage) {
  return stage == STAGE_REPLY ? REVERSE : FORWARD;
}

static void start_block(const struct port* port, struct conversation_queue* queue, uint32_t first, uint32_t flows) {
  queue->block_first = queue->block_next = first;
  queue->block_end = RTE_MIN(first + port->block, flows);
  queue->stage = first < flows ? STAGE_OPEN : STAGE_STEADY;
  queue->settle = 0;
}

/* The speaker of this stage has no more to say: after a few empty polls the other side may answer. */
static void settle(const struct port* port, struct conversation_queue* queue, uint32_t flows, struct account* account,
                   uint64_t now) {
  if (++queue->settle < SETTLE_POLLS) return;
  queue->settle = 0;
  if (port->proto == IPPROTO_TCP && queue->stage != STAGE_CONFIRM) {
    queue->stage++;
    queue->block_next = queue->block_first;
    return;
  }
  start_block(port, queue, queue->block_end, flows);
  if (queue->stage == STAGE_STEADY) {
    close_window(account, now);
    account->steady = 1;
  }
}

static inline void count_class(const struct port* port, uint64_t* counters, uint32_t dport) {
  uint32_t class = dport - port->dport;
  if (class < CLASSES_MAX) counters[class]++;
}

static uint16_t emit_opening(struct rx_queue* queue, struct conversation_queue* conversation, struct rte_mbuf** out,
                             uint16_t count, enum direction direction) {
  struct port* port = queue->port;
  int tcp = port->proto == IPPROTO_TCP;
  const struct template_frame* frame =
      tcp && conversation->stage != STAGE_CONFIRM ? &port->opening[direction] : &port->steady[direction];
  count = (uint16_t)RTE_MIN((uint32_t)count, conversation->block_end - conversation->block_next);
  if (!count) return 0;
  if (unlikely(rte_pktmbuf_alloc_bulk(queue->pool, out, count))) {
    queue->missing += count;
    return 0;
  }
  for (uint16_t i = 0; i < count; i++) {
    struct flow flow = flow_of(port, conversation->block_next++ * port->queue_count + queue->id);
    struct tcp_fields fields =
        tcp_fields_of(frame, &conversation->sequence[direction], flow.hash, conversation->stage, direction);
    write_frame(port, frame, out[i], &flow, direction, tcp ? &fields : NULL);
    if (port->classes && direction == FORWARD) count_class(port, queue->by_class, flow.dport);
  }
  return count;
}

static uint16_t emit_steady(struct rx_queue* queue, struct conversation_queue* conversation, struct rte_mbuf** out,
                            uint16_t count, enum direction direction) {
  struct port* port = queue->port;
  const struct template_frame* frame = &port->steady[direction];
  struct cursor* cursor = &queue->cursor[direction];
  int tcp = port->proto == IPPROTO_TCP;
  if (unlikely(rte_pktmbuf_alloc_bulk(queue->pool, out, count))) {
    queue->missing += count;
    return 0;
  }
  for (uint16_t i = 0; i < count; i++) {
    struct flow flow = flow_of(port, cursor->position * port->queue_count + queue->id);
    if (tcp) {
      struct tcp_fields fields =
          tcp_fields_of(frame, &conversation->sequence[direction], flow.hash, STAGE_STEADY, direction);
      write_frame(port, frame, out[i], &flow, direction, &fields);
    } else {
      write_frame(port, frame, out[i], &flow, direction, NULL);
    }
    if (port->classes && direction == FORWARD) count_class(port, queue->by_class, flow.dport);
    if (advance_cursor(cursor, port->train)) end_pass(port, conversation, direction);
  }
  return count;
}

static uint16_t emit_fresh(struct rx_queue* queue, struct rte_mbuf** out, uint16_t count) {
  struct port* port = queue->port;
  int tcp = port->proto == IPPROTO_TCP;
  const struct template_frame* frame = tcp ? &port->opening[FORWARD] : &port->steady[FORWARD];
  if (unlikely(rte_pktmbuf_alloc_bulk(queue->pool, out, count))) {
    queue->missing += count;
    return 0;
  }
  for (uint16_t i = 0; i < count; i++) {
    struct flow flow = fresh_flow_of(port, queue->next_fresh++ * port->queue_count + queue->id);
    struct tcp_fields fields = {flow.hash, 0, TCP_SYN};
    write_frame(port, frame, out[i], &flow, FORWARD, tcp ? &fields : NULL);
    if (port->classes) count_class(port, queue->by_class, flow.dport);
  }
  return count;
}

static uint16_t emit_replay(struct rx_queue* queue, struct rte_mbuf** out, uint16_t count) {
  struct port* port = queue->port;
  if (unlikely(rte_pktmbuf_alloc_bulk(queue->pool, out, count))) {
    queue->missing += count;
    return 0;
  }
  for (uint16_t i = 0; i < count; i++) {
    uint32_t number = queue->next_replayed;
    uint16_t length = port->replay_length[number];
    uint8_t* at = rte_pktmbuf_mtod(out[i], uint8_t*);
    rte_memcpy(at, port->replay + (size_t)number * port->replay_stride, length);
    out[i]->data_len = length;
    out[i]->pkt_len = length;
    out[i]->port = port->id;
    out[i]->packet_type = RTE_PTYPE_L2_ETHER | (at[12] == 0x86 ? RTE_PTYPE_L3_IPV6 : RTE_PTYPE_L3_IPV4);
    out[i]->ol_flags = port->trusted ? RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD : 0;
    queue->next_replayed += port->queue_count;
    if (queue->next_replayed >= port->replay_count) queue->next_replayed = queue->id;
  }
  return count;
}

static uint16_t emit(struct rx_queue* queue, struct rte_mbuf** out, uint16_t count, struct account* account,
                     uint64_t now) {
  struct port* port = queue->port;
  if (port->replay) return emit_replay(queue, out, count);
  if (port->fresh) return port->side == SIDE_REVERSE ? 0 : emit_fresh(queue, out, count);
  struct conversation_queue* conversation = &port->conversation->queues[queue->id];
  if (conversation->stage == STAGE_STEADY) {
    enum direction direction = port->side == SIDE_BOTH && port->reply ? queue->turn
                               : port->side == SIDE_REVERSE           ? REVERSE
                                                                      : FORWARD;
    queue->turn = !queue->turn;
    if (direction == REVERSE && !port->reply) return 0;
    return emit_steady(queue, conversation, out, count, direction);
  }
  enum direction speaker = speaker_of(conversation->stage);
  if (port->side != SIDE_BOTH && (port->side == SIDE_REVERSE) != (speaker == REVERSE)) return 0;
  if (conversation->block_next == conversation->block_end) {
    settle(port, conversation, queue->cursor[FORWARD].flows, account, now);
    return 0;
  }
  return emit_opening(queue, conversation, out, count, speaker);
}

/* ---- receive and transmit ---------------------------------------------------------------------------------------- */

static uint16_t allowance(struct rx_queue* queue, uint16_t asked, uint64_t now) {
  const struct port* port = queue->port;
  uint64_t count = RTE_MIN((uint32_t)asked, port->maxburst);
  if (port->limit) count = RTE_MIN(count, port->limit > queue->generated ? port->limit - queue->generated : 0);
  if (port->rate) {
    if (now < queue->next_tsc) return 0;
    queue->next_tsc = now + rte_get_tsc_hz() * count / port->rate;
  }
  return (uint16_t)count;
}

static uint16_t receive(void* rx_queue, struct rte_mbuf** out, uint16_t asked) {
  struct rx_queue* queue = rx_queue;
  struct account* account = &t_account;
  uint64_t entered = enter_driver(account);
  if (unlikely(!account->started)) start_account(account, queue->port, entered);
  close_burst(account, queue->port);
  if (unlikely(entered - account->window_start > account->window_cycles)) {
    close_window(account, entered);
    entered = rte_rdtsc();
  }
  uint16_t count = allowance(queue, asked, entered);
  if (count) count = emit(queue, out, count, account, entered);
  queue->generated += count;
  account->received += count;
  account->bursts += count != 0;
  account->last_burst = count;
  account->last = rte_rdtsc();
  account->driver_rx += account->last - entered;
  return count;
}

static void dump_frame(struct port* port, struct rte_mbuf* mbuf) {
  uint32_t record[4] = {0, 0, mbuf->pkt_len, mbuf->pkt_len};
  if (!port->dump_file) {
    uint32_t head[6] = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1};
    port->dump_file = fopen(port->txdump, "wb");
    if (!port->dump_file) {
      fprintf(stderr, "pfgen: %s: %s\n", port->txdump, strerror(errno));
      port->ndump = 0;
      return;
    }
    fwrite(head, sizeof head, 1, port->dump_file);
  }
  fwrite(record, sizeof record, 1, port->dump_file);
  for (struct rte_mbuf* segment = mbuf; segment; segment = segment->next)
    fwrite(rte_pktmbuf_mtod(segment, void*), segment->data_len, 1, port->dump_file);
  if (--port->ndump == 0) {
    fclose(port->dump_file);
    fprintf(stderr, "PFGEN dumped %s\n", port->txdump);
  }
}

/* Counts a frame the application sent by its destination port; frames that are not TCP or UDP (its own ARP) are left
 * out. */
static void count_sent_class(struct tx_queue* queue, struct rte_mbuf* mbuf) {
  const uint8_t* at = rte_pktmbuf_mtod(mbuf, const uint8_t*);
  uint32_t offset = 12, type = 0;
  for (int tags = 0; tags < 3; tags++, offset += 4) {
    type = (uint32_t)at[offset] << 8 | at[offset + 1];
    if (type != RTE_ETHER_TYPE_VLAN && type != RTE_ETHER_TYPE_QINQ) break;
  }
  const uint8_t *l3 = at + offset + 2, *l4 = l3 + (type == RTE_ETHER_TYPE_IPV6 ? 40 : 20);
  uint8_t proto = type == RTE_ETHER_TYPE_IPV6 ? l3[6] : type == RTE_ETHER_TYPE_IPV4 ? l3[9] : 0;
  if (proto == IPPROTO_TCP || proto == IPPROTO_UDP)
    count_class(queue->port, queue->by_class, (uint32_t)l4[2] << 8 | l4[3]);
}

static uint16_t transmit(void* tx_queue, struct rte_mbuf** mbufs, uint16_t count) {
  enum { FREE_MAX = 64 };
  struct tx_queue* queue = tx_queue;
  struct port* port = queue->port;
  struct account* account = &t_account;
  uint64_t entered = enter_driver(account), bytes = 0;
  struct rte_mbuf* free_list[FREE_MAX];
  struct rte_mempool* pool = NULL;
  uint16_t held = 0;
  for (uint16_t i = 0; i < count; i++) {
    struct rte_mbuf* mbuf = mbufs[i];
    bytes += mbuf->pkt_len;
    if (unlikely(port->classes)) count_sent_class(queue, mbuf);
    if (unlikely(port->ndump && port->txdump[0])) dump_frame(port, mbuf);
    if (unlikely(mbuf->nb_segs > 1)) {
      rte_pktmbuf_free(mbuf);
      continue;
    }
    mbuf = rte_pktmbuf_prefree_seg(mbuf);
    if (unlikely(!mbuf)) continue;
    if (unlikely(held == FREE_MAX || mbuf->pool != pool)) {
      if (held) rte_mempool_put_bulk(pool, (void**)free_list, held);
      held = 0;
      pool = mbuf->pool;
    }
    free_list[held++] = mbuf;
  }
  if (held) rte_mempool_put_bulk(pool, (void**)free_list, held);
  queue->sent += count;
  queue->bytes += bytes;
  account->sent += count;
  account->last = rte_rdtsc();
  account->driver_tx += account->last - entered;
  return count;
}

/* ---- device ------------------------------------------------------------------------------------------------------ */

static int configure(struct rte_eth_dev* device) {
  struct port* port = device->data->dev_private;
  port->queue_count = device->data->nb_rx_queues ? device->data->nb_rx_queues : 1;
  return 0;
}

static int start(struct rte_eth_dev* device) {
  struct port* port = device->data->dev_private;
  if (port->handshake && port->proto == IPPROTO_TCP &&
      !(port->conversation->has[FORWARD] && port->conversation->has[REVERSE])) {
    fprintf(
        stderr,
        "pfgen: handshake=1 with TCP needs both directions in pair=%u: add a port with side=reverse, or side=both\n",
        port->pair);
    return -EINVAL;
  }
  device->data->dev_link.link_status = RTE_ETH_LINK_UP;
  for (int i = 0; i < device->data->nb_rx_queues; i++) device->data->rx_queue_state[i] = RTE_ETH_QUEUE_STATE_STARTED;
  for (int i = 0; i < device->data->nb_tx_queues; i++) device->data->tx_queue_state[i] = RTE_ETH_QUEUE_STATE_STARTED;
  return 0;
}

static int stop(struct rte_eth_dev* device) {
  struct port* port = device->data->dev_private;
  uint64_t generated = 0, sent = 0, missing = 0, classes[CLASSES_MAX][2] = {{0}};
  for (int i = 0; i < QUEUES_MAX; i++) {
    generated += port->rx[i].generated;
    missing += port->rx[i].missing;
    sent += port->tx[i].sent;
    for (int c = 0; c < CLASSES_MAX; c++) {
      classes[c][0] += port->rx[i].by_class[c];
      classes[c][1] += port->tx[i].by_class[c];
    }
  }
  fprintf(stderr, "PFGEN port=%u generated=%lu sent=%lu missing_mbufs=%lu", port->id, generated, sent, missing);
  for (uint32_t c = 0; port->classes && c < RTE_MIN(port->dports, (uint32_t)CLASSES_MAX); c++)
    fprintf(stderr, " class%u=%lu/%lu", c, classes[c][0], classes[c][1]);
  fputc('\n', stderr);
  device->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
  return 0;
}

static int close_device(struct rte_eth_dev* device) {
  device->data->mac_addrs = NULL; /* points into our private data: not for ethdev to free */
  return 0;
}

static int rx_queue_setup(struct rte_eth_dev* device, uint16_t id, uint16_t descriptors __rte_unused,
                          unsigned socket __rte_unused, const struct rte_eth_rxconf* conf __rte_unused,
                          struct rte_mempool* pool) {
  struct port* port = device->data->dev_private;
  struct rx_queue* queue = &port->rx[id];
  uint32_t largest = RTE_MAX(port->steady[0].length, port->opening[0].length);
  if (rte_pktmbuf_data_room_size(pool) < RTE_PKTMBUF_HEADROOM + RTE_MAX(largest, (uint32_t)TEMPLATE_BYTES)) {
    fprintf(stderr, "pfgen: mbufs of pool %s are too small for frames of %u bytes\n", pool->name, largest);
    return -EINVAL;
  }
  *queue = (struct rx_queue){.port = port, .pool = pool, .id = id, .next_replayed = id};
  uint32_t flows = port->flows / port->queue_count;
  start_cursor(&queue->cursor[FORWARD], flows, port->train);
  start_cursor(&queue->cursor[REVERSE], flows, port->train);
  struct conversation_queue* conversation = &port->conversation->queues[id];
  memset(conversation, 0, sizeof *conversation);
  if (port->handshake)
    start_block(port, conversation, 0, queue->cursor[FORWARD].flows);
  else
    conversation->stage = STAGE_STEADY;
  device->data->rx_queues[id] = queue;
  return 0;
}

static int tx_queue_setup(struct rte_eth_dev* device, uint16_t id, uint16_t descriptors __rte_unused,
                          unsigned socket __rte_unused, const struct rte_eth_txconf* conf __rte_unused) {
  struct port* port = device->data->dev_private;
  port->tx[id] = (struct tx_queue){.port = port};
  device->data->tx_queues[id] = &port->tx[id];
  return 0;
}

static int infos_get(struct rte_eth_dev* device __rte_unused, struct rte_eth_dev_info* info) {
  info->max_mac_addrs = 1;
  info->max_rx_pktlen = FRAME_MAX;
  info->max_mtu = FRAME_MAX - 128;
  info->min_mtu = 64;
  info->max_rx_queues = info->max_tx_queues = QUEUES_MAX;
  info->rx_offload_capa = RTE_ETH_RX_OFFLOAD_CHECKSUM | RTE_ETH_RX_OFFLOAD_RSS_HASH | RTE_ETH_RX_OFFLOAD_SCATTER;
  info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
                          RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
  info->tx_queue_offload_capa = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
  info->reta_size = 128;
  info->hash_key_size = 40;
  info->flow_type_rss_offloads = RTE_ETH_RSS_PROTO_MASK;
  info->rx_desc_lim = (struct rte_eth_desc_lim){.nb_max = 8192, .nb_min = 32, .nb_align = 1};
  info->tx_desc_lim =
      (struct rte_eth_desc_lim){.nb_max = 8192, .nb_min = 32, .nb_align = 1, .nb_seg_max = 16, .nb_mtu_seg_max = 16};
  info->default_rxportconf = (struct rte_eth_dev_portconf){.burst_size = 32, .ring_size = 1024, .nb_queues = 1};
  info->default_txportconf = info->default_rxportconf;
  return 0;
}

static int stats_get(struct rte_eth_dev* device, struct rte_eth_stats* stats) {
  struct port* port = device->data->dev_private;
  for (int i = 0; i < QUEUES_MAX; i++) {
    stats->ipackets += port->rx[i].generated;
    stats->ibytes += port->rx[i].generated * port->steady[FORWARD].length;
    stats->rx_nombuf += port->rx[i].missing;
    stats->opackets += port->tx[i].sent;
    stats->obytes += port->tx[i].bytes;
  }
  return 0;
}

/* The counters also prove that nothing was lost, so they only ever grow. */
static int stats_reset(struct rte_eth_dev* device __rte_unused) {
  return -ENOTSUP;
}
static int link_update(struct rte_eth_dev* device __rte_unused, int wait __rte_unused) {
  return 0;
}
static int accept_mode(struct rte_eth_dev* device __rte_unused) {
  return 0;
}
static int mtu_set(struct rte_eth_dev* device __rte_unused, uint16_t mtu __rte_unused) {
  return 0;
}
static int mac_addr_set(struct rte_eth_dev* device __rte_unused, struct rte_ether_addr* mac __rte_unused) {
  return 0;
}
static int rss_reta(struct rte_eth_dev* device __rte_unused, struct rte_eth_rss_reta_entry64* reta __rte_unused,
                    uint16_t size __rte_unused) {
  return 0;
}
static int rss_hash(struct rte_eth_dev* device __rte_unused, struct rte_eth_rss_conf* conf __rte_unused) {
  return 0;
}
static const uint32_t* supported_ptypes(struct rte_eth_dev* device __rte_unused) {
  static const uint32_t types[] = {RTE_PTYPE_L2_ETHER,    RTE_PTYPE_L3_IPV4, RTE_PTYPE_L3_IPV4_EXT, RTE_PTYPE_L3_IPV6,
                                   RTE_PTYPE_L3_IPV6_EXT, RTE_PTYPE_L4_UDP,  RTE_PTYPE_L4_TCP,      RTE_PTYPE_UNKNOWN};
  return types;
}

static const struct eth_dev_ops g_operations = {
    .dev_configure = configure,
    .dev_start = start,
    .dev_stop = stop,
    .dev_close = close_device,
    .dev_infos_get = infos_get,
    .rx_queue_setup = rx_queue_setup,
    .tx_queue_setup = tx_queue_setup,
    .mtu_set = mtu_set,
    .link_update = link_update,
    .mac_addr_set = mac_addr_set,
    .stats_get = stats_get,
    .stats_reset = stats_reset,
    .reta_update = rss_reta,
    .reta_query = rss_reta,
    .rss_hash_update = rss_hash,
    .rss_hash_conf_get = rss_hash,
    .promiscuous_enable = accept_mode,
    .promiscuous_disable = accept_mode,
    .allmulticast_enable = accept_mode,
    .allmulticast_disable = accept_mode,
    .dev_supported_ptypes_get = supported_ptypes,
};

/* ---- arguments --------------------------------------------------------------------------------------------------- */

static int load_replay(struct port* port) {
  uint32_t head[6], record[4], longest = 64;
  FILE* file = fopen(port->file, "rb");
  if (!file || fread(head, sizeof head, 1, file) != 1 || head[0] != 0xa1b2c3d4) {
    fprintf(stderr, "pfgen: %s is no little-endian microsecond pcap\n", port->file);
    if (file) fclose(file);
    return -EINVAL;
  }
  while (fread(record, sizeof record, 1, file) == 1 && record[2] <= FRAME_MAX &&
         fseek(file, (long)record[2], SEEK_CUR) == 0) {
    longest = RTE_MAX(longest, record[2]);
    port->replay_count++;
  }
  port->replay_stride = RTE_ALIGN(longest, 64u);
  port->replay = rte_zmalloc(NULL, (size_t)port->replay_count * port->replay_stride, 64);
  port->replay_length = rte_zmalloc(NULL, port->replay_count * sizeof(uint16_t), 64);
  int complete = port->replay_count && port->replay && port->replay_length && fseek(file, sizeof head, SEEK_SET) == 0;
  for (uint32_t i = 0; complete && i < port->replay_count; i++) {
    complete = fread(record, sizeof record, 1, file) == 1 &&
               fread(port->replay + (size_t)i * port->replay_stride, record[2], 1, file) == 1;
    port->replay_length[i] = (uint16_t)record[2];
  }
  fclose(file);
  if (complete) return 0;
  fprintf(stderr, "pfgen: %s: no frames, a broken record, or no memory\n", port->file);
  return -EINVAL;
}

static int parse_number(struct port* port, const char* key, const char* value) {
  struct {
    const char* name;
    uint32_t* target;
  } numbers[] = {
      {"flows", &port->flows},     {"size", &port->size},   {"proto", &port->proto}, {"ip6", &port->ip6},
      {"sbits", &port->sbits},     {"dbits", &port->dbits}, {"dport", &port->dport}, {"dports", &port->dports},
      {"train", &port->train},     {"winms", &port->winms}, {"rss", &port->rss},     {"maxburst", &port->maxburst},
      {"burst", &port->burst},     {"reply", &port->reply}, {"fresh", &port->fresh}, {"handshake", &port->handshake},
      {"pair", &port->pair},       {"block", &port->block}, {"vlan", &port->vlan},   {"vlans", &port->vlans},
      {"ivlan", &port->ivlan},     {"svlan", &port->svlan}, {"rvlan", &port->rvlan}, {"trusted", &port->trusted},
      {"classes", &port->classes}, {"ndump", &port->ndump},
  };
  char* end;
  uint64_t number = strtoull(value, &end, 0);
  int whole = *value && !*end;
  if (!strcmp(key, "rate"))
    port->rate = number;
  else if (!strcmp(key, "limit"))
    port->limit = number;
  else {
    for (size_t i = 0; i < RTE_DIM(numbers); i++)
      if (!strcmp(key, numbers[i].name)) {
        *numbers[i].target = (uint32_t)number;
        return whole ? 0 : -EINVAL;
      }
    return -ENOENT;
  }
  return whole ? 0 : -EINVAL;
}

static int parse_address(const char* value, struct in6_addr* address) {
  memset(address, 0, sizeof *address);
  return inet_pton(AF_INET6, value, address) == 1 || inet_pton(AF_INET, value, address->s6_addr + 12) == 1 ? 0
                                                                                                           : -EINVAL;
}

static int parse_argument(const char* key, const char* value, void* opaque) {
  struct port* port = opaque;
  int result = -ENOENT;
  if (!strcmp(key, "src"))
    result = parse_address(value, &port->source);
  else if (!strcmp(key, "dst"))
    result = parse_address(value, &port->destination);
  else if (!strcmp(key, "mac"))
    result = rte_ether_unformat_addr(value, &port->mac);
  else if (!strcmp(key, "smac"))
    result = rte_ether_unformat_addr(value, &port->smac);
  else if (!strcmp(key, "dmac"))
    result = rte_ether_unformat_addr(value, &port->dmac);
  else if (!strcmp(key, "rsmac"))
    result = rte_ether_unformat_addr(value, &port->rsmac);
  else if (!strcmp(key, "side")) {
    static const char* const names[] = {"forward", "reverse", "both"};
    for (int i = 0; i < 3; i++)
      if (!strcmp(value, names[i])) {
        port->side = (enum side)i;
        result = 0;
      }
  } else if (!strcmp(key, "file")) {
    result = snprintf(port->file, sizeof port->file, "%s", value) < (int)sizeof port->file ? 0 : -EINVAL;
  } else if (!strcmp(key, "txdump")) {
    result = snprintf(port->txdump, sizeof port->txdump, "%s", value) < (int)sizeof port->txdump ? 0 : -EINVAL;
  } else {
    result = parse_number(port, key, value);
  }
  if (result) fprintf(stderr, "pfgen: argument %s=%s is not understood\n", key, value);
  return result ? -EINVAL : 0;
}

static int check_arguments(const struct port* port) {
  const char* wrong = NULL;
  if (port->proto != IPPROTO_TCP && port->proto != IPPROTO_UDP)
    wrong = "proto must be 6 or 17";
  else if (port->flows == 0 || port->train == 0 || port->block == 0 || port->burst == 0)
    wrong = "flows, train, block and burst start at 1";
  else if (port->sbits > 24 || port->dbits > 24)
    wrong = "sbits and dbits are at most 24";
  else if (port->dports == 0 || port->dports & (port->dports - 1))
    wrong = "dports must be a power of two";
  else if (port->pair >= PAIRS_MAX)
    wrong = "pair is at most 7";
  else if (port->size > FRAME_MAX - 128)
    wrong = "size is at most 9600";
  else if (port->handshake && port->fresh)
    wrong = "fresh flows are never opened: handshake and fresh exclude each other";
  else if (port->vlans == 0 || (port->vlans > 1 && !port->vlan))
    wrong = "vlans counts tags from vlan on: both start at 1";
  else if (port->vlan + port->vlans > 4095 || port->rvlan > 4094 || port->ivlan > 4094)
    wrong = "VLAN ids end at 4094";
  if (wrong) fprintf(stderr, "pfgen: %s\n", wrong);
  return wrong ? -EINVAL : 0;
}

static void set_defaults(struct port* port) {
  port->flows = 65536;
  port->size = 64;
  port->proto = IPPROTO_UDP;
  port->sbits = 24;
  port->dbits = 16;
  port->dport = 80;
  port->dports = port->train = port->vlans = port->rss = port->trusted = port->reply = 1;
  port->winms = 250;
  port->maxburst = 512;
  port->burst = 32;
  port->block = 1024;
  port->queue_count = 1;
  port->mac = (struct rte_ether_addr){{2, 0, 0, 0, 0xfe, (uint8_t)port->id}};
  port->smac = (struct rte_ether_addr){{2, 0, 0, 0, 0, (uint8_t)(port->id + 1)}};
  port->rsmac = (struct rte_ether_addr){{2, 0, 0, 0, 0, (uint8_t)(port->id + 2)}};
}

static uint32_t low_word(const struct in6_addr* address) {
  uint32_t word;
  memcpy(&word, address->s6_addr + 12, 4);
  return rte_be_to_cpu_32(word);
}

static int prepare(struct port* port, const char* arguments) {
  set_defaults(port);
  if (arguments && *arguments) {
    struct rte_kvargs* parsed = rte_kvargs_parse(arguments, NULL);
    if (!parsed) return -EINVAL;
    int refused = rte_kvargs_process(parsed, NULL, parse_argument, port);
    rte_kvargs_free(parsed);
    if (refused) return -EINVAL;
  }
  if (check_arguments(port)) return -EINVAL;
  static const struct in6_addr none;
  if (!memcmp(&port->source, &none, sizeof none)) parse_address(port->ip6 ? "fd00:a::" : "10.0.0.0", &port->source);
  if (!memcmp(&port->destination, &none, sizeof none))
    parse_address(port->ip6 ? "fd00:b::" : "198.18.0.0", &port->destination);
  if (rte_is_zero_ether_addr(&port->dmac)) port->dmac = port->mac;
  port->source_low = low_word(&port->source);
  port->destination_low = low_word(&port->destination);
  port->payload = rte_zmalloc(NULL, FRAME_MAX, 64);
  if (!port->payload) return -ENOMEM;
  for (uint32_t i = 0; i < FRAME_MAX; i++) port->payload[i] = (uint8_t)((i * 131) ^ (i >> 3));
  for (int direction = FORWARD; direction <= REVERSE; direction++) {
    fill_template(port, &port->steady[direction], (enum direction)direction, 0);
    fill_template(port, &port->opening[direction], (enum direction)direction, 1);
  }
  port->conversation = &g_conversations[port->pair];
  if (port->side != SIDE_REVERSE) port->conversation->has[FORWARD] = 1;
  if (port->side != SIDE_FORWARD) port->conversation->has[REVERSE] = 1;
  return port->file[0] ? load_replay(port) : 0;
}

static int probe(struct rte_vdev_device* device) {
  if (device->device.numa_node == SOCKET_ID_ANY) device->device.numa_node = (int)rte_socket_id();
  struct rte_eth_dev* ethdev = rte_eth_vdev_allocate(device, sizeof(struct port));
  if (!ethdev) return -ENOMEM;
  struct port* port = ethdev->data->dev_private;
  port->id = ethdev->data->port_id;
  int result = prepare(port, rte_vdev_device_args(device));
  if (result) {
    rte_eth_dev_release_port(ethdev);
    return result;
  }
  ethdev->data->nb_rx_queues = ethdev->data->nb_tx_queues = 1;
  ethdev->data->dev_link =
      (struct rte_eth_link){.link_speed = RTE_ETH_SPEED_NUM_100G, .link_duplex = RTE_ETH_LINK_FULL_DUPLEX};
  ethdev->data->mac_addrs = &port->mac;
  ethdev->data->promiscuous = ethdev->data->all_multicast = 1;
  ethdev->data->dev_flags |= RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
  ethdev->dev_ops = &g_operations;
  ethdev->rx_pkt_burst = receive;
  ethdev->tx_pkt_burst = transmit;
  rte_eth_dev_probing_finish(ethdev);
  return 0;
}

static int remove_device(struct rte_vdev_device* device) {
  struct rte_eth_dev* ethdev = rte_eth_dev_allocated(rte_vdev_device_name(device));
  if (!ethdev) return 0;
  struct port* port = ethdev->data->dev_private;
  rte_free(port->payload);
  rte_free(port->replay);
  rte_free(port->replay_length);
  close_device(ethdev);
  return rte_eth_dev_release_port(ethdev);
}

static struct rte_vdev_driver g_driver = {.probe = probe, .remove = remove_device};
RTE_PMD_REGISTER_VDEV(net_pfgen, g_driver);
