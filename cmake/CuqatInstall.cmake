# install() rules and the package that find_package(cuqat CONFIG) finds.
include(CMakePackageConfigHelpers)

install(TARGETS cuqat EXPORT cuqat_targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/cuqat DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")
if(TARGET cuqat_cli)
  install(TARGETS cuqat_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/cuqat)
install(EXPORT cuqat_targets NAMESPACE cuqat:: DESTINATION ${package_dir} FILE cuqat-targets.cmake)
# Each component has a file of its own: what it needs is not asked of those who do without it.
foreach(component files mpi nccl)
  if(TARGET cuqat_${component})
    install(TARGETS cuqat_${component} EXPORT cuqat_${component}_targets
            ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
            LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install(EXPORT cuqat_${component}_targets NAMESPACE cuqat:: DESTINATION ${package_dir}
            FILE cuqat-${component}-targets.cmake)
  endif()
endforeach()
configure_package_config_file(cmake/cuqat-config.cmake.in
                              ${PROJECT_BINARY_DIR}/cuqat-config.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cuqat-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cuqat-config.cmake
              ${PROJECT_BINARY_DIR}/cuqat-config-version.cmake
        DESTINATION ${package_dir})
