// SPDX-License-Identifier: Apache-2.0
#include "dataplane/engine.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_random.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "base/describe.h"
#include "dataplane/train.h"
#include "dataplane/worker.h"

namespace sekisho::dataplane {
namespace {

constexpr std::uint32_t kHandoffEntries = 4096;
constexpr unsigned kIdleTurns = 256;
constexpr std::size_t kPoolCache = 256;
constexpr std::uint32_t kLeasesPerTunnel = 4;
constexpr std::uint32_t kSasPerTunnel = 4;      // both directions, and both of them again during a rekey
constexpr std::uint32_t kPartForFragments = 4;  // of all packets in flight, a quarter may wait for the rest of their datagram

/// EAL names are global to the process; several engines may live one after another.
std::string unique_name(const char* what) {
  static std::atomic<std::uint32_t> next{0};
  return std::string(what) + "-" + std::to_string(next.fetch_add(1, std::memory_order_relaxed));
}

std::uint64_t microseconds_since(std::chrono::steady_clock::time_point start) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start).count());
}

Error no_memory(std::uint32_t detail) {
  return {ErrorCode::kLimit, ErrorSite::kDataplane, detail};
}

template <typename Objects>
std::unordered_set<std::uint32_t> ids_of(const Objects& objects) {
  std::unordered_set<std::uint32_t> out;
  for (const auto& object : objects) out.insert(object.id);
  return out;
}

}  // namespace

Engine::Engine(const Options& options)
    : options_(options),
      shared_(std::make_unique<Shared>()),
      slots_{SlotMap(options.shard.tenants), SlotMap(options.shard.ports), SlotMap(options.shard.rules),
             SlotMap(options.shard.bindings)} {
  shared_->shards = options.workers;
  shared_->tsc_ns = 1e9 / static_cast<double>(rte_get_tsc_hz());
  shared_->tsc_base = rte_rdtsc();
  shared_->link_locals = filters::LinkLocalClaims(options.shard.bindings, rte_rand(), rte_rand());
  shared_->pins = std::vector<filters::BindingPins>(options.shard.bindings);
  for (filters::BindingPins& pins : shared_->pins) pins.join(shared_->link_locals);
  shared_->quarantines = std::vector<filters::Quarantine>(options.shard.bindings);
  shared_->quotas = std::vector<TenantQuota>(options.shard.tenants + 1);
  sync_clock();
}

Result<std::unique_ptr<Engine>> Engine::create(const Options& options) {
  if (options.workers == 0 || options.workers > limits::kShardsMax) return no_memory(options.workers);
  std::unique_ptr<Engine> engine(new Engine(options));
  engine->pool_ = rte_pktmbuf_pool_create(unique_name("packets").c_str(), options.mbufs, kPoolCache, sizeof(PacketMeta),
                                          RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  if (engine->pool_ == nullptr) return no_memory(options.mbufs);
  SEKISHO_CHECK_OK(engine->make_nics());
  SEKISHO_CHECK_OK(engine->make_shards());
  engine->connect_queues();
  return engine;
}

Result<void> Engine::make_nics() {
  for (std::uint16_t number = 0; number < RTE_MAX_ETHPORTS; ++number) {
    if (rte_eth_dev_is_valid_port(number) == 0) continue;
    if (number >= limits::kNicsMax) return no_memory(number);
    SEKISHO_TRY(Nic nic, Nic::configure(number, static_cast<std::uint16_t>(options_.workers), pool_));
    nic_facts_.push_back({nic.number(), nic.mac()});
    if (nic.device() == options_.service_device) shared_->service_nic = nic.number();
    nics_.push_back(std::move(nic));
  }
  if (!options_.service_device.empty() && shared_->service_nic == kNoService) {
    return Error{ErrorCode::kNotFound, ErrorSite::kDataplane, 0};
  }
  return {};
}

Result<void> Engine::make_shards() {
  ShardLimits limits = options_.shard;
  limits.fragments = options_.mbufs / kPartForFragments / options_.workers;
  limits.sessions = std::max(64U, limits.sessions / options_.workers);
  shared_->limits = SessionLimits(options_.shard.rules + 1, options_.shard.tenants + 1, rte_rand());
  if (getentropy(&shared_->cookie_key, sizeof(shared_->cookie_key)) != 0) return no_memory(0);
  if (limits.tunnels > 0) {
    SEKISHO_TRY(LeaseTable leases, LeaseTable::create(limits.tunnels * kLeasesPerTunnel));
    shared_->leases = std::make_shared<LeaseTable>(std::move(leases));
  }
  const HashSeed seed{rte_rand() | 1U, rte_rand() | 1U};
  const std::uint32_t sessions = limits.sessions * options_.workers;
  SEKISHO_TRY(shared_->port_claims, PortClaims::create(sessions));
  if (options_.workers > 1) {
    SEKISHO_TRY(shared_->flow_owners, FlowOwners::create(sessions));
    shared_->swept = std::vector<std::atomic<std::uint32_t>>(options_.workers);
  }
  for (std::uint32_t number = 0; number < options_.workers; ++number) {
    rte_ring* ring = rte_ring_create(unique_name("handoff").c_str(), kHandoffEntries, SOCKET_ID_ANY, RING_F_SC_DEQ);
    if (ring == nullptr) return no_memory(number);
    shared_->handoff.push_back(ring);
    SEKISHO_TRY(auto shard, Shard::create(number, limits, *shared_, pool_, seed, rte_rdtsc()));
    if (limits.tunnels > 0) {
      const std::uint32_t slots = shard_part(limits.tunnels * kSasPerTunnel, options_.workers);
      SEKISHO_TRY(shard->tunnels_here.sas, SaTable::create(number, slots, static_cast<std::uint32_t>(rte_rand())));
    }
    shards_.push_back(std::move(shard));
    shared_->fragments_max += shards_.back()->fragments.pieces_max();
    running_.push_back(std::make_unique<std::atomic<bool>>(false));
  }
  const std::size_t bytes = rte_rcu_qsbr_get_memsize(options_.workers);
  qsbr_memory_ = std::make_unique<std::uint8_t[]>(bytes + 64);
  void* aligned = qsbr_memory_.get();
  std::size_t room = bytes + 64;
  qsbr_ = static_cast<rte_rcu_qsbr*>(std::align(64, bytes, aligned, room));
  rte_rcu_qsbr_init(qsbr_, options_.workers);
  return {};
}

/// Receive queues are dealt to shards in turn; a NIC with fewer transmit queues than shards is served by their owners.
void Engine::connect_queues() {
  std::uint32_t next = 0;
  std::uint16_t most_queues = 1;
  for (const Nic& nic : nics_) {
    for (std::uint16_t queue = 0; queue < nic.rx_queues(); ++queue) {
      shards_[next++ % shards_.size()]->inlets.push_back({nic.number(), queue});
    }
    most_queues = std::max(most_queues, nic.rx_queues());
    for (std::uint32_t number = 0; number < shards_.size(); ++number) {
      Outlet& outlet = shards_[number]->outlets[nic.number()];
      outlet.owner = static_cast<std::uint16_t>(number % nic.tx_queues());
      outlet.queue = outlet.owner;
      shards_[number]->nics =
          std::max<std::uint16_t>(shards_[number]->nics, static_cast<std::uint16_t>(nic.number() + 1));
    }
  }
  // A meter's rate is dealt among the shards that may see its port.
  for (const auto& shard : shards_) {
    shard->meter_divisor = most_queues;
    for (std::size_t i = 0; i < shard->meters.size(); ++i) shard->meters[i].divisor = most_queues;
  }
}

Engine::~Engine() {
  stop();
  shared_->runtime.store(nullptr, std::memory_order_release);
  nics_.clear();
  for (rte_ring* ring : shared_->handoff) {
    void* packet = nullptr;
    while (rte_ring_sc_dequeue(ring, &packet) == 0) free_packet(static_cast<rte_mbuf*>(packet));
    rte_ring_free(ring);
  }
  shards_.clear();
  runtime_.reset();
  rte_mempool_free(pool_);
}

bool Engine::start_nic(Nic& nic, LoadError& error) {
  if (nic.started()) return true;
  const Result<void> started = nic.start();
  if (!started) {
    error.reason = "network device '" + nic.device() + "' does not start: " + describe(started.error());
    return false;
  }
  for (const auto& shard : shards_) shard->outlets[nic.number()].usable.store(true, std::memory_order_release);
  return true;
}

bool Engine::start_nics(const Runtime& runtime, LoadError& error) {
  for (const PortEntry& port : runtime.ports) {
    for (Nic& nic : nics_) {
      if (nic.number() == port.nic && !start_nic(nic, error)) return false;
    }
  }
  for (Nic& nic : nics_) {
    if (nic.number() == shared_->service_nic && !start_nic(nic, error)) return false;
  }
  return true;
}

bool Engine::apply(std::vector<std::uint8_t> bytes, Applied& applied, LoadError& error) {
  const auto start = std::chrono::steady_clock::now();
  if (runtime_ != nullptr && bytes == runtime_->bytes) {
    applied.generation = runtime_->revision;
    return true;
  }
  LoadReport report;
  std::unique_ptr<Runtime> next = Loader(slots_, nic_finder()).build(std::move(bytes), runtime_.get(), report, error);
  if (next == nullptr) {
    free_unused_slots();
    return false;
  }
  const bool other_moment = runtime_ != nullptr && next->revision == runtime_->revision && next->view.moment() != runtime_->view.moment();
  if (runtime_ != nullptr && next->revision <= runtime_->revision && !other_moment) {
    free_unused_slots();
    error.reason = "generation " + std::to_string(next->revision) + " is not newer than " +
                   std::to_string(runtime_->revision) + ", which is in force";
    return false;
  }
  if (!guarantees_fit(*next, error)) {
    free_unused_slots();
    return false;
  }
  const std::uint64_t built = microseconds_since(start);
  // Workers take nothing from a NIC before the first snapshot is in force, so a NIC may start a moment earlier: when it
  // cannot, the old generation is still untouched.
  if (!start_nics(*next, error)) {
    free_unused_slots();
    return false;
  }
  const auto swap = std::chrono::steady_clock::now();
  publish(std::move(next));
  applied = {runtime_->revision, built, microseconds_since(swap), report.classifier};
  return true;
}

/// What tenants are promised must be there, in every shard.
bool Engine::guarantees_fit(const Runtime& runtime, LoadError& error) const {
  std::uint64_t promised = 0;
  for (const TenantEntry& tenant : runtime.tenants) promised += shard_part(tenant.sessions_guaranteed, shared_->shards);
  const auto fits = [&](const char* what, std::uint64_t sum, std::uint64_t room) {
    if (sum <= room) return true;
    error.reason = std::string("the tenants' guaranteed ") + what + " come to " + std::to_string(sum) +
                   " for each worker, which has room for " + std::to_string(room);
    return false;
  };
  std::uint64_t fragments = 0;
  for (const TenantEntry& tenant : runtime.tenants) fragments += shard_part(tenant.fragments_guaranteed, shared_->shards);
  return fits("sessions", promised, shards_[0]->sessions.capacity()) &&
         fits("fragments", fragments, shards_[0]->fragments.pieces_max());
}

void Engine::publish(std::unique_ptr<Runtime> next) {
  for (const TenantEntry& tenant : next->tenants) {
    shared_->quotas[tenant.slot].log_rate.store(tenant.log_rate, std::memory_order_relaxed);
  }
  // release: pairs with the acquire in turn()
  shared_->runtime.store(next.get(), std::memory_order_release);
  wait_for_workers();
  if (runtime_ != nullptr) forget_pins_elsewhere(*next);
  runtime_ = std::move(next);  // frees the old one
  free_unused_slots();
}

/// Who now stands on another segment begins there anew: what he pinned where he was is free for others.
void Engine::forget_pins_elsewhere(const Runtime& next) {
  std::unordered_map<std::uint32_t, std::uint32_t> before;  // Binding -> segment
  for (const BindingEntry& binding : runtime_->bindings) before.emplace(binding.id, binding.rules.segment_id());
  for (const BindingEntry& binding : next.bindings) {
    const auto old = before.find(binding.id);
    if (old != before.end() && old->second != binding.rules.segment_id()) shared_->pins[binding.slot].reset();
  }
}

/// Gives back the places of everything the configuration in force does not name, and empties them for whoever comes
/// next. A shard may at this moment count a last session of a removed rule there: the next owner starts with that one.
void Engine::free_unused_slots() {
  const auto in_all = [this](auto clear) {
    return [this, clear](std::uint32_t slot) {
      for (const auto& shard : shards_) clear(*shard, slot);
    };
  };
  const auto used = [this](auto objects) {
    return runtime_ == nullptr ? std::unordered_set<std::uint32_t>{} : ids_of((*runtime_).*objects);
  };
  slots_.tenants.keep_only(used(&Runtime::tenants), in_all([](Shard& shard, std::uint32_t slot) {
                             for (Counter& counter : shard.tenants[slot].drops) counter.set(0);
                             shard.tenants[slot].log_lost.set(0);  // not `sessions`: those still open end there
                             shard.shared.quotas[slot].reset_meters();
                             shard.shared.quotas[slot].log_rate.store(0, std::memory_order_relaxed);
                           }));
  slots_.ports.keep_only(used(&Runtime::ports), in_all([](Shard& shard, std::uint32_t slot) {
                           PortCounters& port = shard.ports[slot];
                           for (Counter* counter : {&port.rx_packets, &port.rx_bytes, &port.tx_packets, &port.tx_bytes})
                             counter->set(0);
                         }));
  std::unordered_set<std::uint32_t> rules = used(&Runtime::rules);
  rules.merge(used(&Runtime::nat_rules));
  slots_.rules.keep_only(
      rules, in_all([](Shard& shard, std::uint32_t slot) {
        RuleCounters& rule = shard.rules[slot];
        for (Counter* counter : {&rule.connections, &rule.packets, &rule.bytes, &rule.first_hit_ns, &rule.last_hit_ns})
          counter->set(0);
      }));
  slots_.bindings.keep_only(used(&Runtime::bindings), in_all([](Shard& shard, std::uint32_t slot) {
                              shard.violations[slot].set(0);
                              shard.shared.pins[slot].reset();
                              filters::Quarantine& quarantine = shard.shared.quarantines[slot];
                              if (!quarantine.begun()) quarantine.finish();  // else the shard that began it does
                              quarantine.release();
                            }));
}

bool Engine::release_binding(std::uint32_t id) {
  const auto slot = slots_.bindings.all().find(id);
  if (slot == slots_.bindings.all().end()) return false;
  shared_->pins[slot->second].reset();
  return shared_->quarantines[slot->second].release();
}

void Engine::wait_for_workers() {
  const std::uint64_t token = rte_rcu_qsbr_start(qsbr_);
  while (rte_rcu_qsbr_check(qsbr_, token, false) == 0) std::this_thread::yield();
}

void Engine::run(std::uint32_t number) {
  Shard& shard = *shards_[number];
  // Registered with the EAL, the thread has a packet cache of its own; without (no place left) it is merely slower.
  const bool registered = rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() == 0;
  rte_rcu_qsbr_thread_register(qsbr_, number);
  rte_rcu_qsbr_thread_online(qsbr_, number);
  running_[number]->store(true, std::memory_order_release);
  unsigned idle = 0;
  while (!stopping_.load(std::memory_order_relaxed)) {
    idle = dataplane::turn(shard, rte_rdtsc()) > 0 ? 0 : idle + 1;
    rte_rcu_qsbr_quiescent(qsbr_, number);
    if (idle > kIdleTurns && options_.idle_sleep_us > 0) usleep(options_.idle_sleep_us);
  }
  shard.log.flush_all(shard.now_ns);
  running_[number]->store(false, std::memory_order_release);
  rte_rcu_qsbr_thread_offline(qsbr_, number);
  rte_rcu_qsbr_thread_unregister(qsbr_, number);
  if (registered) rte_thread_unregister();
}

unsigned Engine::turn(std::uint32_t shard, std::uint64_t tsc) {
  return dataplane::turn(*shards_[shard], tsc);
}

void Engine::ask(std::uint32_t number, ShardRequest& request) {
  Shard& shard = *shards_[number];
  // release: pairs with the acquire in Shard::serve_request
  shard.request.store(&request, std::memory_order_release);
  while (!request.done.load(std::memory_order_acquire)) {
    if (running_[number]->load(std::memory_order_acquire)) {
      std::this_thread::yield();
    } else {
      shard.serve_request();
    }
  }
}

void Engine::for_each_session(const std::function<bool(Shard&, std::uint32_t)>& visit) {
  for (std::uint32_t number = 0; number < shards_.size(); ++number) {
    ShardRequest request;
    request.visit = visit;
    ask(number, request);
  }
}

void Engine::look(std::uint32_t number, const std::function<void(const Shard&)>& look) {
  ShardRequest request;
  request.once = look;
  ask(number, request);
}

void Engine::on_shard(std::uint32_t number, const std::function<void(Shard&)>& work) {
  ShardRequest request;
  request.once = work;
  ask(number, request);
}

std::unique_ptr<Runtime> Engine::build_apart(std::vector<std::uint8_t> bytes, Slots& slots, LoadError& error) const {
  LoadReport report;
  return Loader(slots, nic_finder()).build(std::move(bytes), runtime_.get(), report, error);
}

Loader::FindNic Engine::nic_finder() const {
  return [this](std::string_view device) -> const NicFacts* {
    for (std::size_t i = 0; i < nics_.size(); ++i) {
      if (nics_[i].device() == device) return &nic_facts_[i];
    }
    return nullptr;
  };
}

void Engine::sync_clock() {
  const auto wall =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch());
  const double steady = static_cast<double>(rte_rdtsc() - shared_->tsc_base) * shared_->tsc_ns;
  shared_->wall_offset_ns.store(wall.count() - static_cast<std::int64_t>(steady), std::memory_order_relaxed);
}

}  // namespace sekisho::dataplane
