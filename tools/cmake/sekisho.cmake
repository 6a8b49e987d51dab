# Compiler flags and the layer check. A library may use its own part, or a strictly lower layer.
set(SEKISHO_LAYER_base 0)
set(SEKISHO_LAYER_filters 1)
foreach(part dataplane control vpn mgmt board)
  set(SEKISHO_LAYER_${part} 2)
endforeach()
set(SEKISHO_LAYER_tests 3)

add_library(sekisho_flags INTERFACE)
target_compile_options(sekisho_flags INTERFACE
  -march=${SEKISHO_MARCH} -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow
  -Wold-style-cast -Wcast-align -Wundef -Wswitch-enum -Werror -fno-strict-aliasing
  -fstack-protector-strong -fstack-clash-protection -fcf-protection)
target_link_options(sekisho_flags INTERFACE -Wl,-z,relro,-z,now)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT SEKISHO_SANITIZE)
  target_compile_options(sekisho_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
else()
  target_compile_definitions(sekisho_flags INTERFACE SEKISHO_DEBUG=1)
endif()
if(SEKISHO_SANITIZE)
  add_compile_options(-fsanitize=${SEKISHO_SANITIZE} -fno-omit-frame-pointer)
  # GCC's flow analysis sees its own instrumentation: std::regex is "uninitialized" under it. Not "function": see below.
  add_compile_options($<IF:$<C_COMPILER_ID:GNU>,-Wno-maybe-uninitialized,-fno-sanitize=function>)
  # A compiler that takes memory instead of looking for what it may free is a tenth faster.
  add_compile_options("$<$<CXX_COMPILER_ID:GNU>:SHELL:--param ggc-min-expand=1000 --param ggc-min-heapsize=2000000>")
  add_link_options(-fsanitize=${SEKISHO_SANITIZE})
endif()
if(SEKISHO_FUZZ)
  # Not "function": clang 14 copies its prologue into the parts of a coroutine, where it cannot be assembled.
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize=function -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()

# sekisho_precompile(TARGET HEADERS ...): where the preset asks for it, they are parsed once for the whole target. Each source
# still includes what it uses: presets without it, the release's first, parse every source for itself.
option(SEKISHO_PRECOMPILE "parse the headers that most sources of a target use only once" OFF)
set(SEKISHO_STANDARD_HEADERS <algorithm> <array> <chrono> <functional> <map> <memory> <optional> <set> <span> <string> <string_view> <vector>)
function(sekisho_precompile target)
  if(SEKISHO_PRECOMPILE)
    target_precompile_headers(${target} PRIVATE ${SEKISHO_STANDARD_HEADERS} ${ARGN})
    # ccache asks for it
    target_compile_options(${target} PRIVATE $<IF:$<CXX_COMPILER_ID:GNU>,-fpch-preprocess,SHELL:-Xclang -fno-pch-timestamp>)
  endif()
endfunction()

# sekisho_library(NAME SOURCES ... DEPS our libraries ... SYSTEM foreign libraries ... PRECOMPILE headers ... [EXCEPTIONS])
# Exceptions and RTTI are compiled out unless asked for: base, filters and dataplane never ask.
function(sekisho_library name)
  cmake_parse_arguments(ARG "EXCEPTIONS" "" "SOURCES;DEPS;SYSTEM;PRECOMPILE" ${ARGN})
  cmake_path(RELATIVE_PATH CMAKE_CURRENT_SOURCE_DIR BASE_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE here)
  string(REGEX MATCH "^[^/]+" part "${here}")
  add_library(${name} STATIC ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES SEKISHO_PART ${part})
  foreach(dep IN LISTS ARG_DEPS)
    get_target_property(dep_part ${dep} SEKISHO_PART)
    if(NOT dep_part STREQUAL part AND NOT SEKISHO_LAYER_${dep_part} LESS SEKISHO_LAYER_${part})
      message(FATAL_ERROR "${name} (${part}) may not depend on ${dep} (${dep_part}); see docs/architecture.md#layers")
    endif()
  endforeach()
  if(ARG_EXCEPTIONS AND SEKISHO_SANITIZE MATCHES undefined)
    # Coroutines and templates of Boost cost minutes and gigabytes a source when each member call is looked at: what the
    # address sanitizer sees as well is left to it there, and nothing there is in a hurry.
    target_compile_options(${name} PRIVATE -O0 -fno-sanitize=null,alignment,vptr,object-size)
  endif()
  if(NOT ARG_EXCEPTIONS)
    target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions -fno-rtti>)
  endif()
  sekisho_precompile(${name} ${ARG_PRECOMPILE})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE sekisho_flags ${ARG_SYSTEM})
endfunction()

# sekisho_program(NAME SOURCES ... DEPS ... SYSTEM ...): a daemon or tool; its main.cc is the only file tests do not link.
function(sekisho_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;SYSTEM" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE sekisho_flags ${ARG_DEPS} ${ARG_SYSTEM})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
endfunction()
